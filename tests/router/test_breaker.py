"""When a failing backend is asked last, and when it is tried again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router_svc.breaker import FAILURES_TO_OPEN, LONGEST_REST_SECONDS, Breaker


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN):
        breaker.failed(now)
    return breaker


def test_a_few_failures_change_nothing() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN - 1):
        breaker.failed(0.0)
    assert breaker.resting(0.0) == ""


def test_repeated_failures_begin_a_rest_that_ends() -> None:
    breaker = opened()
    assert "failed repeatedly" in breaker.resting(1.0)
    assert breaker.resting(3.0) == ""


def test_after_the_rest_one_request_tries_and_the_others_wait() -> None:
    breaker = opened()
    breaker.begin(3.0)
    assert "tried again" in breaker.resting(3.0)
    breaker.succeeded()
    assert breaker.resting(3.0) == ""


def test_a_failed_trial_begins_a_longer_rest() -> None:
    breaker = opened()
    breaker.begin(3.0)
    breaker.failed(3.0)
    assert breaker.resting(6.9) != ""
    assert breaker.resting(7.1) == ""


def test_a_trial_whose_client_left_says_nothing() -> None:
    breaker = opened()
    breaker.begin(3.0)
    breaker.ended()
    assert breaker.resting(3.0) == ""


def test_a_backend_that_asked_for_time_gets_it() -> None:
    breaker = Breaker()
    breaker.asked(10.0, seconds=5.0)
    assert "asked for time" in breaker.resting(14.9)
    assert breaker.resting(15.1) == ""


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=60))
def test_no_rest_is_longer_than_the_limit(times: list[float]) -> None:
    breaker = Breaker()
    for now in sorted(times):
        breaker.begin(now)
        breaker.failed(now)
        assert breaker.resting(now + LONGEST_REST_SECONDS + 1) == ""
