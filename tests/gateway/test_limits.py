"""What keys may use, as time goes by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.limits import Limits, written
from svckit.errors import ServiceError
from svckit.keys import ApiKey
from tests.gateway.keyed import make_key

DAY = 86_400
NOON = 20_000 * DAY + DAY / 2


class Time:
    """Limits, and the time that they go by."""

    def __init__(self) -> None:
        self.now = NOON
        self.limits = Limits(clock=lambda: self.now, wall=lambda: self.now)

    def sent(self, key: ApiKey, count: int, *, asks_model: bool = True) -> int:
        """Send so many requests at once; return how many were let through."""
        return sum(self.refusal(key, asks_model=asks_model) is None for _ in range(count))

    def refusal(self, key: ApiKey, *, asks_model: bool = True) -> ServiceError | None:
        """Send one request; return why not."""
        try:
            self.limits.admit(key, asks_model=asks_model)
        except ServiceError as error:
            return error
        return None


@pytest.fixture
def time() -> Time:
    return Time()


def key_with(**limits: int) -> ApiKey:
    return make_key(name="ci", **limits)[0]


def test_a_minutes_requests_may_come_at_once_and_then_evenly(time: Time) -> None:
    key = key_with(requests_per_minute=30)
    assert time.sent(key, 40) == 30
    time.now += 2
    assert time.sent(key, 5) == 1
    time.now += 10
    assert time.sent(key, 10) == 5
    time.now += 3600
    assert time.sent(key, 40) == 30


def test_a_refusal_says_which_key_and_limit_and_when_to_come_back(time: Time) -> None:
    key = key_with(requests_per_minute=6)
    time.sent(key, 6)
    time.now += 3
    refusal = time.refusal(key)
    assert refusal is not None
    assert refusal.reason == "RATE_LIMITED"
    assert refusal.metadata["retry_after_seconds"] == "7"
    assert "'ci'" in refusal.message
    assert "6 requests a minute" in refusal.message
    time.now += 7
    assert time.refusal(key) is None


def test_what_is_refused_is_not_counted(time: Time) -> None:
    key = key_with(requests_per_minute=1, tokens_per_day=10)
    time.limits.begin_day(key, 10)
    assert time.sent(key, 5) == 0
    assert time.limits.headers(key)["x-ratelimit-remaining-requests"] == "1"


def test_each_key_has_its_own(time: Time) -> None:
    one, other = key_with(requests_per_minute=1), key_with(requests_per_minute=1)
    assert (time.sent(one, 2), time.sent(other, 2)) == (1, 1)


def test_a_days_tokens_are_spent_until_midnight_utc(time: Time) -> None:
    key = key_with(tokens_per_day=100)
    time.limits.begin_day(key, 20)
    time.limits.spend(key.id, 79)
    assert time.sent(key, 2) == 2
    time.limits.spend(key.id, 1)
    refusal = time.refusal(key)
    assert refusal is not None
    assert refusal.metadata["retry_after_seconds"] == str(DAY // 2)
    assert "100 tokens" in refusal.message
    time.now += DAY / 2
    assert time.sent(key, 2) == 2
    assert time.limits.headers(key)["x-ratelimit-remaining-tokens"] == "100"
    assert time.limits.knows_today(key)


def test_what_asks_no_model_needs_no_tokens(time: Time) -> None:
    key = key_with(tokens_per_day=1)
    time.limits.begin_day(key, 5)
    assert time.sent(key, 3, asks_model=False) == 3
    assert time.sent(key, 3) == 0


def test_a_day_begins_once(time: Time) -> None:
    key = key_with(tokens_per_day=10)
    assert not time.limits.knows_today(key)
    time.limits.begin_day(key, 1)
    time.limits.spend(key.id, 2)
    time.limits.begin_day(key, 1)
    assert time.limits.headers(key)["x-ratelimit-remaining-tokens"] == "7"


def test_only_tokens_of_keys_with_such_a_limit_count(time: Time) -> None:
    key = key_with(requests_per_minute=1)
    time.sent(key, 1)
    assert not time.limits.counts(key.id)
    assert not time.limits.counts("")
    time.limits.spend("unheard of", 5)
    limited = key_with(tokens_per_day=1)
    time.limits.begin_day(limited, 0)
    assert time.limits.counts(limited.id)


def test_headers_say_how_far_it_is_to_each_limit(time: Time) -> None:
    key = key_with(requests_per_minute=60, tokens_per_day=1000)
    time.limits.begin_day(key, 0)
    time.sent(key, 3)
    time.limits.spend(key.id, 2000)
    assert time.limits.headers(key) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "57",
        "x-ratelimit-reset-requests": "3s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "12h0m0s",
    }
    only = key_with(tokens_per_day=5)
    assert all(name.endswith("tokens") for name in time.limits.headers(only))


def test_a_limit_may_change(time: Time) -> None:
    key = key_with(requests_per_minute=60)
    time.sent(key, 1)
    assert time.sent(replace(key, requests_per_minute=2), 10) == 2


def test_today_began_at_midnight(time: Time) -> None:
    assert time.limits.today_us() == 20_000 * DAY * 1_000_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0ms"),
        (0, "0ms"),
        (0.0115, "12ms"),
        (0.9999, "1s"),
        (1, "1s"),
        (1.2, "2s"),
        (59.5, "1m0s"),
        (360, "6m0s"),
        (3600, "1h0m0s"),
        (86_399.5, "24h0m0s"),
    ],
)
def test_lengths_of_time_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert written(seconds) == text
