"""Choosing through the running router: stickiness, gaming mode, breakers, aliases, reload."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from lair.common.v1.chat_pb2 import ContentPart, ImageUrl
from lair.router.v1 import router_service_pb2 as pb
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from router_svc.affinity import Affinity, conversation_digest
from svckit.config import ConfigError
from svckit.errors import ServiceError
from svckit.settings import Settings
from tests.fakes.answers import completion, reply, streamed
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import World, answer, asking, events, failure

ANSWER = completion("yes")


async def backend_of(router: RouterServiceStub, *texts: str, **fields: object) -> str:
    response = await answer(router, asking(*texts, **fields))  # type: ignore[arg-type]  # fields of a call
    return response.route.backend


async def test_a_conversation_stays_where_it_was(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    server.script(ANSWER)
    other.script(ANSWER)
    async with world.router(server, other) as router:
        assert await backend_of(router, "one", conversation="c", backend="b") == "b"
        for turn in range(10):
            response = await answer(router, asking(f"turn {turn}", conversation="c"))
            assert response.route.backend == "b"
            assert "same as the conversation's last answer" in response.route.reason
        assert await backend_of(router, "another conversation") == "a"


async def test_a_conversation_moves_once_when_its_backend_fails(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    server.script(reply(b"{}", 500))
    other.script(ANSWER)
    async with world.router(server, other) as router:
        first = await answer(router, asking("one", conversation="c"))
        assert (first.route.backend, first.route.fallback_count) == ("b", 1)
        second = await answer(router, asking("two", conversation="c"))
        assert (second.route.backend, second.route.fallback_count) == ("b", 0)


async def test_without_an_id_the_first_message_names_the_conversation() -> None:
    affinity = Affinity(most=2)
    hello = conversation_digest(asking("hello"))
    affinity.note(hello, "a", "m")
    assert affinity.last(conversation_digest(asking("hello"))) == ("a", "m")
    assert affinity.last(conversation_digest(asking("good morning"))) is None
    for text in ("x", "y"):
        affinity.note(conversation_digest(asking(text)), "b", "m")
    assert affinity.last(hello) is None


async def test_a_backend_that_keeps_failing_is_asked_last_and_still_asked(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    server.script(reply(b"{}", 500))
    other.script(ANSWER)
    async with world.router(server, other) as router:
        for number in range(3):  # different conversations: one stays where it was answered
            await answer(router, asking(f"{number}"))
        asked = len(server.received)
        await answer(router, asking("y"))
        assert len(server.received) == asked
        explained = await router.ExplainRoute(pb.ExplainRouteRequest(call=asking("x")))
        assert [c.backend for c in explained.candidates if c.eligible] == ["b", "a"]
        assert any("failed repeatedly" in text for text in explained.candidates[1].reasons)


async def test_a_sole_backend_never_meets_a_cooldown(world: World, server: OpenAIServer) -> None:
    server.script(reply(b"{}", 500))
    async with world.router(server) as router:
        for _ in range(6):
            assert (await failure(answer(router, asking("x")))).reason == "UPSTREAM_FAILED"
        server.script(ANSWER)
        assert await backend_of(router, "x") == "a"


class TestGamingMode:
    async def test_auto_leaves_local_backends_alone_and_names_still_reach_them(
        self, world: World, server: OpenAIServer, other: OpenAIServer
    ) -> None:
        server.script(ANSWER)
        other.script(ANSWER)
        async with world.router(server, other) as router:
            changed = await router.SetBackendMode(
                pb.SetBackendModeRequest(backend="a", mode=pb.BACKEND_MODE_EXPLICIT_ONLY)
            )
            assert [(b.name, b.mode) for b in changed.backends] == [
                ("a", pb.BACKEND_MODE_EXPLICIT_ONLY)
            ]
            assert await backend_of(router, "x") == "b"
            assert await backend_of(router, "x", backend="a") == "a"
            await router.SetBackendMode(pb.SetBackendModeRequest(mode=pb.BACKEND_MODE_AUTO))
            assert await backend_of(router, "new words") == "a"

    async def test_it_survives_a_restart_and_ends_in_time(
        self, world: World, server: OpenAIServer
    ) -> None:
        request = pb.SetBackendModeRequest(mode=pb.BACKEND_MODE_EXPLICIT_ONLY)
        request.hold_duration.FromMilliseconds(400)
        async with world.router(server) as router:
            await router.SetBackendMode(request)
        server.script(ANSWER)
        async with world.router(server) as router:
            error = await failure(answer(router, asking("x")))
            assert error.reason == "NO_BACKEND"
            assert "gaming mode" in error.message
            await asyncio.sleep(0.5)
            assert await backend_of(router, "x") == "a"

    async def test_an_unknown_backend_is_named(self, world: World, server: OpenAIServer) -> None:
        async with world.router(server) as router:
            request = pb.SetBackendModeRequest(backend="z", mode=pb.BACKEND_MODE_EXPLICIT_ONLY)
            error = await failure(router.SetBackendMode(request))
        assert error.metadata["field"] == "backend"
        assert "'z'" in error.message


async def test_an_alias_stands_for_models_in_order(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    server.script(ANSWER)
    other.script(ANSWER)
    aliases = {"small": ["b/tiny", "a/tiny"]}
    async with world.router(server, other, router={"aliases": aliases}) as router:
        response = await answer(router, asking("x", model="small"))
        assert (response.route.backend, response.route.model) == ("b", "tiny")


class TestReload:
    async def test_backends_come_go_and_change(
        self, world: World, server: OpenAIServer, other: OpenAIServer
    ) -> None:
        other.script(ANSWER)

        def reread() -> Settings:
            backends = [{"name": "new", "url": other.url}]
            return Settings.model_validate({"data_dir": world.data_dir, "backends": backends})

        async with world.router(server, reread=reread) as router:
            change = await router.ReloadBackends(pb.ReloadBackendsRequest())
            assert (list(change.added), list(change.removed)) == (["new"], ["a"])
            assert await backend_of(router, "x") == "new"

    async def test_a_fault_changes_nothing(self, world: World, server: OpenAIServer) -> None:
        server.script(ANSWER)

        def reread() -> Settings:
            raise ConfigError("lair.toml: unknown key 'gateway.prot'; did you mean 'port'?")

        async with world.router(server, reread=reread) as router:
            error = await failure(router.ReloadBackends(pb.ReloadBackendsRequest()))
            assert isinstance(error, ServiceError)
            assert "gateway.prot" in error.message
            assert await backend_of(router, "x") == "a"

    @pytest.mark.usefixtures("server")
    async def test_sighup_reloads(self, world: World, other: OpenAIServer) -> None:
        reread = asyncio.Event()

        def again() -> Settings:
            reread.set()
            return world.settings

        async with world.router(other, reread=again):
            await asyncio.sleep(0)
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.wait_for(reread.wait(), 5)


async def test_backends_tell_their_queue_speed_and_rest(world: World, server: OpenAIServer) -> None:
    server.script(streamed(*["one", "two", "three", "four"], usage=(5, 400)))
    async with world.router(server, backend={"device": "3090", "max_concurrent": 2}) as router:
        await events(router, asking("x"))
        server.script(reply(b"{}", 500))
        for _ in range(3):
            await failure(answer(router, asking("x")))
        listed = await router.ListBackends(pb.ListBackendsRequest())
    backend = listed.backends[0]
    assert (backend.device, backend.slot_count, backend.queued_count) == ("3090", 2, 0)
    assert backend.tokens_per_second > 0
    assert "failed repeatedly" in backend.resting
    assert backend.last_error.startswith("HTTP 500")


async def test_aliases_are_listed_with_what_they_stand_for(
    world: World, server: OpenAIServer
) -> None:
    async with world.router(server, router={"aliases": {"small": ["a/tiny"]}}) as router:
        listed = await router.ListModels(pb.ListModelsRequest())
    found = {model.id: list(model.alias_targets) for model in listed.models}
    assert found["small"] == ["a/tiny"]
    assert found["tiny"] == []


async def test_what_models_can_do_is_configured_where_the_server_does_not_say(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    server.script(ANSWER)
    other.script(ANSWER)
    async with world.router(server, other, backend={"capabilities": {"tools": True}}) as router:
        listed = await router.ListModels(pb.ListModelsRequest())
        assert [m.capabilities.tools for m in listed.models if m.backend == "a"] == [True]
    blind = Settings.model_validate(
        {
            **world.settings.model_dump(),
            "backends": [
                {"name": "a", "url": server.url, "capabilities": {"vision": False}},
                {"name": "b", "url": other.url},
            ],
        }
    )
    async with world.router(server, other, reread=lambda: blind) as router:
        await router.ReloadBackends(pb.ReloadBackendsRequest())
        assert await backend_of(router, "one") == "a"
        call = asking("")
        picture = ContentPart(
            type="image_url", image_url=ImageUrl(url="data:image/png;base64,eA==")
        )
        call.messages[0].parts.parts.append(picture)
        assert (await answer(router, call)).route.backend == "b"
