"""The bytes of a stream give the same events however the network cuts them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_svc.backends.sse import SseDecoder

# Data of an event: any line that is not empty and does not begin with the optional space.
payloads = st.binary(min_size=1, max_size=40).filter(
    lambda data: not set(data) & set(b"\r\n") and not data.startswith(b" ")
)
noise = st.sampled_from(
    [b": a comment", b":", b"event: ping", b"id: 7", b"retry: 3000", b"unknown: x", b"nofield"]
)


@st.composite
def framed_streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Draw the bytes of a stream and the events that are in it."""
    raw, events = b"", []
    for data in draw(st.lists(payloads, max_size=6)):
        newline = draw(st.sampled_from([b"\n", b"\r\n"]))
        for line in draw(st.lists(noise, max_size=2)):
            raw += line + newline
        if draw(st.booleans()):
            raw += newline  # ends an event that has no data
        raw += draw(st.sampled_from([b"data:", b"data: "])) + data + newline + newline
        events.append(data)
    return raw, events


def decode(pieces: list[bytes]) -> list[bytes]:
    decoder = SseDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.end()


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(raw) + 1) for place in places), len(raw)]
    return [raw[start:end] for start, end in pairwise(bounds)]


@given(framed_streams(), st.lists(st.integers(min_value=0), max_size=30))
def test_any_split_gives_the_events_that_were_framed(
    stream: tuple[bytes, list[bytes]], places: list[int]
) -> None:
    raw, events = stream
    assert decode(cut(raw, places)) == events


@given(st.binary(max_size=200), st.lists(st.integers(min_value=0), max_size=30))
def test_any_split_of_any_bytes_gives_the_same_events(raw: bytes, places: list[int]) -> None:
    assert decode(cut(raw, places)) == decode([raw])


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b": keep-alive\n\ndata: a\n\n", [b"a"]),
        (b"event: ping\n\ndata: a\n\n", [b"a"]),
        (b"retry: 3000\n\nid: 1\ndata: a\n\n", [b"a"]),
        (b"data:\n\ndata: \n\ndata: a\n\n", [b"a"]),
        (b"data: a\n\ndata: b\n", [b"a", b"b"]),
        (b"data: a\n\ndata: b", [b"a", b"b"]),
        (b"data: a\n\ndata: b\r", [b"a", b"b"]),
        (b"\n\n\n", []),
        (b"", []),
    ],
)
def test_framing(raw: bytes, events: list[bytes]) -> None:
    assert decode([raw]) == events
    assert decode([raw[at : at + 1] for at in range(len(raw))]) == events


def test_an_event_is_returned_by_the_piece_that_completes_it() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\n") == []
    assert decoder.feed(b"\ndata: b\n\nda") == [b"a", b"b"]
    assert decoder.feed(b"ta: c") == []
    assert decoder.end() == [b"c"]
    assert decoder.end() == []
