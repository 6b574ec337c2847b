"""What a client library sends again by itself is known as the repetition of what failed."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.retries import KEPT_SECONDS, Failures
from svckit.errors import ServiceError
from tests.gateway.conftest import CHAT, Stack
from tests.gateway.scripted import whole

FAILED = ServiceError("UPSTREAM_FAILED", "every backend failed: ollama", model="m", backends="o")


def sent(count: int | str, **more: str) -> dict[str, str]:
    return {"User-Agent": "OpenAI/Python 3.52.0", "x-stainless-retry-count": str(count)} | more


async def tried(
    stack: Stack, count: int | str, body: dict[str, Any] | None = None, **more: str
) -> Any:
    """Send a chat as an SDK does; return the call that the router got of it."""
    async with stack.chat(headers=sent(count, **more), **(body or {})) as reply:
        await reply.read()
    return stack.router.calls[-1]


# -- remembering ---------------------------------------------------------------


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_failure_is_repeated_once_and_only_soon():
    clock = Clock()
    failures = Failures(clock=clock)
    failures.note(b"a", "r1")
    assert (failures.take(b"b"), failures.take(b"a"), failures.take(b"a")) == ("", "r1", "")
    failures.note(b"a", "r2")
    clock.now = KEPT_SECONDS + 1
    assert failures.take(b"a") == ""


def test_failures_alike_are_repeated_in_their_order():
    failures = Failures()
    for request_id in ("r1", "r2"):
        failures.note(b"a", request_id)
    assert [failures.take(b"a") for _ in range(3)] == ["r1", "r2", ""]


@given(
    st.lists(
        st.tuples(st.sampled_from(["note", "take", "wait"]), st.sampled_from([b"a", b"b"])),
        max_size=60,
    )
)
def test_what_is_taken_is_the_oldest_that_is_young_enough(steps: list[tuple[str, bytes]]):
    clock = Clock()
    failures = Failures(limit=8, clock=clock)
    model: list[tuple[float, bytes, str]] = []
    for number, (step, fingerprint) in enumerate(steps):
        match step:
            case "note":
                failures.note(fingerprint, str(number))
                model.append((clock.now, fingerprint, str(number)))
            case "wait":
                clock.now += 40
            case _:
                young = [m for m in model[-8:] if m[0] >= clock.now - KEPT_SECONDS]
                alike = [m for m in young if m[1] == fingerprint]
                found = failures.take(fingerprint)
                assert found == (alike[0][2] if alike else "")
                # What was repeated counts towards the limit until it is old.
                model = [m if m[2] != found else (m[0], b"", found) for m in model]


# -- over HTTP -----------------------------------------------------------------


async def test_each_try_names_the_one_before(stack: Stack):
    stack.router.answer = FAILED
    first, second = await tried(stack, 0), await tried(stack, 1)
    stack.router.answer = whole()
    third, new = await tried(stack, 2), await tried(stack, 0)
    assert [call.retry_of for call in (first, second, third, new)] == [
        *("", first.request_id, second.request_id, ""),
    ]
    assert (await tried(stack, 1)).retry_of == ""  # the last one did not fail


@pytest.mark.parametrize(
    ("reason", "known"),
    [("RATE_LIMITED", True), ("NO_BACKEND", True), ("INTERNAL", True), ("MODEL_NOT_FOUND", False)],
)
async def test_only_what_sdks_send_again_is_remembered(stack: Stack, reason: str, known: bool):
    stack.router.answer = ServiceError(reason, "no")
    first, second = await tried(stack, 0), await tried(stack, 1)
    assert second.retry_of == (first.request_id if known else "")


@pytest.mark.parametrize(
    ("body", "more"),
    [
        ({"temperature": 1}, {}),
        ({}, {"X-User-ID": "bob"}),
        ({}, {"User-Agent": "OpenAI/JS 6.49.0"}),
    ],
    ids=["body", "user", "client"],
)
async def test_a_try_of_something_else_repeats_nothing(
    stack: Stack, body: dict[str, Any], more: dict[str, str]
):
    stack.router.answer = FAILED
    await tried(stack, 0)
    assert (await tried(stack, 1, body, **more)).retry_of == ""


async def test_bodies_too_long_to_be_hashed_are_told_apart_by_their_ends(stack: Stack):
    stack.router.answer = FAILED
    long = [{"role": "user", "content": "x" * 400_000}]
    longer = [{"role": "user", "content": "x" * 400_000 + "y"}]
    first = await tried(stack, 0, {"messages": long})
    other = await tried(stack, 1, {"messages": longer})
    assert other.retry_of == ""
    assert (await tried(stack, 1, {"messages": long})).retry_of == first.request_id


async def test_a_client_that_does_not_count_is_not_remembered(stack: Stack):
    stack.router.answer = FAILED
    async with stack.chat(headers={"User-Agent": "OpenAI/Python 3.52.0"}) as reply:
        assert reply.status == 502
    assert (await tried(stack, 1)).retry_of == ""


@pytest.mark.parametrize("stream", [True, False])
async def test_a_connection_that_the_client_cut_is_a_failure(stack: Stack, stream: bool):
    stack.router.hold = never = asyncio.Event()
    stack.router.steps = [never]
    url = f"{stack.url}/v1/chat/completions"
    async with aiohttp.ClientSession() as leaving:
        body = CHAT | {"stream": stream}
        asking = asyncio.ensure_future(leaving.post(url, json=body, headers=sent(0)))
        await stack.router.asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    async with asyncio.timeout(5):
        await stack.router.cancelled.wait()
    stack.router.hold = None
    stack.router.steps = [FAILED]
    [first] = stack.router.calls
    assert (await tried(stack, 1, {"stream": stream})).retry_of == first.request_id
