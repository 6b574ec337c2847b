"""Backends, peers and disks that do what nobody expects; each was once a fault of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from lair.router.v1.router_service_pb2 import ListBackendsRequest
from router_svc.backends.normalise import StreamNormaliser
from router_svc.backends.reply_json import parse_usage
from router_svc.backends.sse import SseDecoder
from router_svc.model import UpstreamError
from svckit.outbox import Outbox, OutboxError
from tests.fakes.answers import Answer, chunk, completion, reply
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import World, answer, asking, failure


async def test_lair_does_not_take_a_lair_for_a_server(world: World) -> None:
    async with OpenAIServer("auto", "lair/recall", "tiny") as itself:
        ports = {"discover": True, "discover_ports": [itself.port]}
        async with world.router(router=ports) as router:
            listed = await router.ListBackends(ListBackendsRequest())
    assert [backend.name for backend in listed.backends] == ["lair"]


async def test_a_late_memory_does_not_cut_the_conversations_past_off(
    world: World, server: OpenAIServer
) -> None:
    server.script(completion("yes"))
    async with world.router(server, router={"memory_timeout_ms": 50}) as router:
        world.memory.state.down = True
        reply_ = await answer(router, asking("next", conversation="c"))
        assert "history left out" in reply_.memory.degraded
        world.memory.state.down = False
        turn = await world.memory.turn()
    assert turn.parent_head == "active"


async def test_a_second_router_on_the_same_journal_is_refused(tmp_path: Path) -> None:
    async def deliver(_: list[bytes]) -> None:
        return

    def opened() -> Outbox:
        limits = {"batch_size": 1, "limit_bytes": 10**6, "linger_seconds": 0.1}
        return Outbox("x", tmp_path / "x", deliver, **limits)  # type: ignore[arg-type]  # limits

    first = opened()
    with pytest.raises(OutboxError, match="another lair uses"):
        opened()
    first.close()
    opened().close()


async def test_nothing_delivered_stays_on_the_disk(world: World, server: OpenAIServer) -> None:
    server.script(completion("yes"))
    async with world.router(server) as router:
        await answer(router, asking("the word is xylophone", conversation="c"))
        await world.memory.turn()
        # A call that continues the conversation waits until its turn is acknowledged.
        await answer(router, asking("go on", conversation="c"))
        assert b"xylophone" not in world.journal("turns")


async def test_a_redirect_is_not_followed(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    server.script(Answer((b"",), status=307, headers={"location": f"{other.url}/chat/completions"}))
    async with world.router(server) as router:
        error = await failure(answer(router, asking("a secret")))
    assert error.reason == "UPSTREAM_FAILED"
    assert other.received == []


async def test_what_a_refusal_quotes_reaches_its_client_only(
    world: World, server: OpenAIServer
) -> None:
    server.script(reply({"error": {"message": "bad prompt: my PIN is 120"}}, 400))
    async with world.router(server) as router:
        error = await failure(answer(router, asking("my PIN is 120")))
        assert "PIN" in error.message
        listed = await router.ListBackends(ListBackendsRequest())
        assert "PIN" not in listed.backends[0].last_error
        assert b"PIN" not in world.journal("records")


@pytest.mark.parametrize("index", [-1, 128, 3_000_000])
def test_a_choice_nobody_asked_for_is_a_fault(index: int) -> None:
    normaliser = StreamNormaliser("m")
    [data] = SseDecoder().feed(chunk("x").replace(b'"index": 0', b'"index": %d' % index))
    normaliser.feed([data])
    with pytest.raises(UpstreamError):
        normaliser.end()


def test_an_event_without_end_is_a_fault() -> None:
    decoder = SseDecoder()
    decoder.feed(b"data: " + b"x" * 15 * 2**20)
    with pytest.raises(UpstreamError, match="without end"):
        decoder.feed(b"x" * 2 * 2**20)


@pytest.mark.parametrize("count", [-1, 10**14, "7", None, float("nan")])
def test_a_count_that_cannot_be_one_is_unknown(count: object) -> None:
    usage = parse_usage({"prompt_tokens": count, "prompt_tokens_details": 5})
    assert usage is not None
    assert not usage.HasField("prompt_tokens")
    assert b"details" not in usage.extra_json
