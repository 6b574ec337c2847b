"""What a finished request adds to the counters, and that their labels are few."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY

from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from router_svc import measuring
from router_svc.measuring import MOST_MODELS, OTHER
from tests.fakes.answers import completion, model_entry, reply
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import World, answer, asking, events, failure


class Change:
    """How much a series grew since this was made."""

    def __init__(self, name: str, **labels: str) -> None:
        self._of: tuple[str, dict[str, str]] = (name, labels)
        self._before = self._now()

    def _now(self) -> float:
        return REGISTRY.get_sample_value(*self._of) or 0.0

    @property
    def grown(self) -> float:
        return self._now() - self._before


async def test_a_request_is_counted_by_where_it_came_in_who_answered_and_how_it_ended(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    to = {"endpoint": "/v1/chat/completions", "model": "tiny", "backend": "a"}
    answered = Change("lair_requests_total", **to, status="ok")
    failed = Change("lair_requests_total", **to, status="upstream_error")
    prompt = Change("lair_tokens_total", type="prompt", model="tiny", backend="a")
    said = Change("lair_tokens_total", type="completion", model="tiny", backend="a")
    seconds = Change("lair_request_duration_seconds_count", backend="a")
    first = Change("lair_time_to_first_token_seconds_count", backend="a")
    own = Change("lair_overhead_seconds_count")
    await events(router, asking("hi", endpoint="/v1/chat/completions"))
    server.script(reply({"error": "x"}, 500))
    await failure(answer(router, asking("hi", endpoint="/v1/chat/completions")))
    assert (answered.grown, failed.grown) == (1, 1)
    assert (prompt.grown, said.grown) == (5, 2)
    assert (seconds.grown, first.grown, own.grown) == (2, 1, 2)


async def test_overhead_is_without_the_backend(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    server.script(lambda _: _late())
    own = Change("lair_overhead_seconds_sum")
    whole = Change("lair_request_duration_seconds_sum", backend="a")
    await answer(router, asking("hi"))
    assert whole.grown > 0.3
    assert own.grown < 0.2


def _late() -> Any:
    late = completion("a")
    return type(late)(late.steps, before=(0.3,))


async def test_tokens_that_are_estimated_are_not_counted(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    server.script(completion("a", usage=None))
    prompt = Change("lair_tokens_total", type="prompt", model="tiny", backend="a")
    await answer(router, asking("hi"))
    assert prompt.grown == 0


async def test_a_fallback_says_from_where_to_where_and_why(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    server.script(reply({"error": "x"}, 429))
    moved = Change("lair_fallbacks_total", **{"from": "a", "to": "b", "reason": "rate_limited"})
    async with world.router(server, other) as router:
        await answer(router, asking("hi"))
    assert moved.grown == 1


@pytest.mark.parametrize(
    ("fields", "labels"),
    [
        ({"endpoint": "/made/up"}, {"endpoint": "other", "model": "tiny", "backend": "a"}),
        ({}, {"endpoint": "grpc", "model": "tiny", "backend": "a"}),
        (
            {"model": "made up", "endpoint": "/v1/messages"},
            {"endpoint": "/v1/messages", "model": "none", "backend": "none"},
        ),
    ],
    ids=["a strange endpoint", "a stub", "a model nobody has"],
)
async def test_no_label_is_a_text_of_a_client(
    router: RouterServiceStub, fields: dict[str, str], labels: dict[str, str]
) -> None:
    status = "ok" if labels["backend"] == "a" else "invalid_request"
    counted = Change("lair_requests_total", **labels, status=status)
    call = answer(router, asking("hi", **fields))
    await (call if status == "ok" else failure(call))
    assert counted.grown == 1


async def test_of_thousands_of_models_only_so_many_are_told_apart(
    world: World, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {f"m{number}" for number in range(MOST_MODELS - 1)}
    monkeypatch.setattr(measuring, "_models", known)
    server.models = reply({"data": [model_entry("next"), model_entry("one too many")]})
    labels = {"endpoint": "grpc", "backend": "a", "status": "ok"}
    told = Change("lair_requests_total", model="next", **labels)
    folded = Change("lair_requests_total", model=OTHER, **labels)
    async with world.router(server) as router:
        for model in ("next", "one too many", "next"):
            await answer(router, asking("hi", model=model))
    assert (told.grown, folded.grown) == (2, 1)
