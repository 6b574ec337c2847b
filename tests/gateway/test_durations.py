"""Lengths of time, and the switch of gaming mode, as people write them."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.durations import parse_duration
from gateway.gaming import read_switch
from lair.router.v1.router_service_pb2 import BackendMode
from svckit.errors import ServiceError

YEAR = timedelta(days=365)


def parse(text: object) -> timedelta:
    return parse_duration(text, "for", longest=YEAR)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
        ("1h30m", timedelta(minutes=90)),
        ("1d2h3m4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        (" 2H ", timedelta(hours=2)),
        ("0h5m", timedelta(minutes=5)),
        ("365d", YEAR),
    ],
)
def test_a_length_is_read(text, length):
    assert parse(text) == length


@pytest.mark.parametrize(
    "text", ["", "2", "h", "2x", "-2h", "1.5h", "2 h", "30m1h", "0s", "0h0m", "²h", "2h\n3m", 7, []]
)
def test_what_is_no_length_is_refused_by_its_name_and_with_examples(text):
    with pytest.raises(ServiceError, match="send a length of time like 90s, 30m, 2h") as raised:
        parse(text)
    assert raised.value.message.startswith("for is ")
    assert raised.value.metadata["field"] == "for"


@pytest.mark.parametrize("text", ["366d", "365d1s", "999999999h", "999999999d"])
def test_a_length_beyond_the_longest_is_refused(text):
    with pytest.raises(ServiceError, match=f'^for is "{text}"; send at most 365d$') as raised:
        parse(text)
    assert raised.value.metadata["field"] == "for"


@given(st.integers(0, 300), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_what_is_written_is_read(days, hours, minutes, seconds):
    length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    written = f"{days}d{hours}h{minutes}m{seconds}s"
    if length:
        assert parse(written) == length
    else:
        with pytest.raises(ServiceError):
            parse(written)


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ({"enable": "true", "for": "2h", "backend": "3090"}, {}),
        ({}, {"enable": True, "for": "2h", "backend": "3090"}),
        ({"enable": "1", "for": "2h"}, {"enable": False, "for": "9h", "backend": "3090"}),
    ],
)
def test_a_switch_is_read_from_query_and_body(query, body):
    switch = read_switch(query, json.dumps(body).encode() if body else b"")
    assert switch.mode == BackendMode.BACKEND_MODE_EXPLICIT_ONLY
    assert switch.hold_duration.seconds == 7200
    assert switch.backend == "3090"


def test_switching_off_names_no_time_and_without_a_name_every_local_backend():
    switch = read_switch({"enable": "false"}, b"")
    assert switch.mode == BackendMode.BACKEND_MODE_AUTO
    assert switch.backend == ""
    assert not switch.HasField("hold_duration")


def test_nulls_are_as_good_as_nothing():
    switch = read_switch({}, b'{"enable": true, "for": null, "backend": null, "unload": null}')
    assert switch.backend == ""
    assert not switch.HasField("hold_duration")
    assert not switch.HasField("unload")


@pytest.mark.parametrize(("text", "unload"), [("true", True), ("1", True), ("false", False)])
def test_to_unload_is_asked_for_or_forbidden(text, unload):
    switch = read_switch({"enable": "true", "unload": text}, b"")
    assert switch.HasField("unload")
    assert switch.unload is unload


@pytest.mark.parametrize(
    ("query", "body", "field"),
    [
        ({}, b"", "enable"),
        ({"enable": "yes"}, b"", "enable"),
        ({}, b'{"enable": 1}', "enable"),
        ({"enable": "true", "for": "two hours"}, b"", "for"),
        ({"enable": "true", "for": ""}, b"", "for"),
        ({}, b'{"enable": true, "for": 7200}', "for"),
        ({"enable": "false", "for": "2h"}, b"", "for"),
        ({"enable": "false", "unload": "true"}, b"", "unload"),
        ({"enable": "true", "unload": "all"}, b"", "unload"),
        ({"enable": "true", "duration": "2h"}, b"", "duration"),
        ({}, b'{"enable": true, "hours": 2}', "hours"),
        ({"enable": "true", "backend": "\x00"}, b"", "backend"),
        ({}, b'{"enable": true, "backend": ["a"]}', "backend"),
    ],
)
def test_a_switch_that_is_not_understood_is_refused_by_the_fields_name(query, body, field):
    with pytest.raises(ServiceError, match=field) as raised:
        read_switch(query, body)
    assert raised.value.reason == "INVALID_FIELD"
    assert raised.value.metadata["field"] == field


def test_a_body_that_is_no_json_is_refused():
    with pytest.raises(ServiceError) as raised:
        read_switch({}, b"enable=true")
    assert raised.value.reason == "INVALID_BODY"
