"""Where every candidate failed, the failure that helps who asked most is told."""

from __future__ import annotations

from typing import Any

import pytest

from svckit.errors import ServiceError
from tests.fakes.answers import Answer, Step, reply
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import World, answer, asking, failure

GONE = "gone"
FAILURES: dict[str, Any] = {
    "busy": reply({"error": "busy"}, 429, retry_after="7"),
    "busier": reply({"error": "busier"}, 429, retry_after="60"),
    "too long": reply({"error": {"code": "context_length_exceeded", "message": "too long"}}, 400),
    "unable": reply({"error": {"message": "image input is not supported"}}, 500),
    "broken": reply({"error": {"message": "broken"}}, 500),
    "late": Answer((), before=(Step.HANG,)),
    GONE: None,
}


@pytest.mark.parametrize(
    ("telling", "other", "reason"),
    [
        ("too long", GONE, "CONTEXT_LENGTH_EXCEEDED"),
        ("unable", GONE, "UPSTREAM_REJECTED"),
        ("unable", "broken", "UPSTREAM_REJECTED"),
        ("unable", "late", "UPSTREAM_REJECTED"),
        ("too long", "unable", "CONTEXT_LENGTH_EXCEEDED"),
        ("busy", "too long", "RATE_LIMITED"),
        ("late", "broken", "UPSTREAM_TIMEOUT"),
        ("late", GONE, "UPSTREAM_TIMEOUT"),
        ("broken", GONE, "UPSTREAM_FAILED"),
    ],
)
async def test_of_several_failures_the_one_that_helps_most_is_told(
    world: World, telling: str, other: str, reason: str
) -> None:
    for failures, by, also in (((telling, other), "a", "b"), ((other, telling), "b", "a")):
        error = await _both_fail(world, *failures)
        assert (error.reason, error.metadata["backend"]) == (reason, by)
        assert error.metadata["backends"] == "a, b"
        assert error.message.startswith(f"{by}: ")
        assert error.message.endswith(f"(also asked: {also})")


async def test_of_two_that_are_busy_the_one_that_is_free_sooner_is_told(world: World) -> None:
    error = await _both_fail(world, "busy", "busier")
    assert error.metadata["retry_after_seconds"] == "7"


async def _both_fail(world: World, *failures: str) -> ServiceError:
    first, second = OpenAIServer("tiny"), OpenAIServer("tiny")
    limit = {"first_token_seconds": 0.1}
    async with first, second, world.router(first, second, backend=limit) as router:
        for running, name in zip((first, second), failures, strict=True):
            if FAILURES[name] is None:
                await running.__aexit__()
            else:
                running.script(FAILURES[name])
        return await failure(answer(router, asking("hi")))
