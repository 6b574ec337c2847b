"""What can be counted, and the texts it is counted under."""

import math
from dataclasses import replace

import pytest

from metrics_svc.ingest import MAX_NUMBER, RefusedError, countable
from metrics_svc.labels import bounded
from metrics_svc.model import Attempt, Status, Tokens
from tests.metrics.events import MINUTE_US, NOW_US, row

ATTEMPT = Attempt(
    backend="here", model="qwen", status=Status.OK, http_code=200, duration_us=5, error=""
)


def test_a_plain_row_is_counted_as_it_is():
    sent = row(1, user="ann", tokens=Tokens(prompt=0), attempts=(ATTEMPT,))
    assert countable(sent, NOW_US) == sent


def test_a_clock_may_be_five_minutes_ahead_and_beyond_that_a_request_is_now():
    assert countable(row(1, NOW_US + 5 * MINUTE_US), NOW_US).ts_us == NOW_US + 5 * MINUTE_US
    assert countable(row(1, NOW_US + 5 * MINUTE_US + 1), NOW_US).ts_us == NOW_US


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ts_us": -1}, "request_time is before 1970"),
        ({"duration_us": -1}, "duration_us is -1"),
        ({"queue_us": MAX_NUMBER + 1}, "queue_us is 10000000000001"),
        ({"new_messages": -2}, "new_message_count is -2"),
        ({"device_watts": -0.5}, "device_watts is -0.5"),
        ({"device_watts": math.nan}, "device_watts is nan"),
        ({"device_watts": math.inf}, "device_watts is inf"),
        ({"tokens": Tokens(cached=-1)}, "usage.cached_tokens is -1"),
        ({"attempts": (replace(ATTEMPT, duration_us=-7),)}, r"attempts\[0\].duration_us is -7"),
    ],
)
def test_numbers_that_cannot_be_are_refused_by_name(fields: dict, message: str):
    with pytest.raises(RefusedError, match=message):
        countable(row(1, **fields), NOW_US)


def test_labels_of_requests_and_attempts_are_bounded():
    attempt = replace(ATTEMPT, model="m" * 300, error="e" * 5000)
    kept = countable(row(1, project="  lair\n", backend="b" * 300, attempts=(attempt,)), NOW_US)
    assert kept.project == "lair"
    assert kept.backend == bounded("b" * 300)
    assert kept.attempts[0].model == bounded("m" * 300)
    assert len(kept.attempts[0].error) == 1000


def test_long_labels_stay_apart_and_short_ones_readable():
    assert bounded("a" * 256) == "a" * 256
    hashed = {bounded("a" * 257), bounded("a" * 258)}
    assert len(hashed) == 2
    assert all(label.startswith("sha256:") and len(label) == 71 for label in hashed)
    assert bounded("a\x00b") == "a\N{REPLACEMENT CHARACTER}b"
