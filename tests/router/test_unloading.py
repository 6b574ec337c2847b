"""Gaming mode takes models out of memory, by the way of each kind of server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lair.router.v1 import router_service_pb2 as pb
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.fakes.answers import Answer, completion, model_entry, reply
from tests.fakes.ollama_server import installed, ollama_server
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import World, answer, asking

OLLAMA = {"kind": "ollama"}
HOLD = {"mode": pb.BACKEND_MODE_EXPLICIT_ONLY}


class Posts:
    """An answer to posts that keeps their bodies."""

    def __init__(self, *answers: Answer) -> None:
        self.bodies: list[Any] = []
        self.came = asyncio.Event()
        self._answers = list(answers) or [reply({})]

    def __call__(self, body: bytes) -> Answer:
        self.bodies.append(json.loads(body or b"null"))
        self.came.set()
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def ollama(posts: Posts, **loaded: int) -> OpenAIServer:
    server = ollama_server(*map(installed, loaded or {"tiny": 1}), loaded=loaded)
    server.documents["/api/generate"] = posts
    return server


def signed(owner: str, **documents: Any) -> OpenAIServer:
    """Return a server whose list of models tells its kind; `a__b` stands for the path `/a/b`."""
    paths = {"/" + name.replace("__", "/"): document for name, document in documents.items()}
    server = OpenAIServer("tiny", documents=paths)
    server.models = reply({"data": [model_entry("tiny") | {"owned_by": owner}]})
    return server


async def hold(router: RouterServiceStub, **fields: Any) -> list[tuple[int, list[str], str]]:
    """Hold backends; return what becomes of the models of each."""
    request = pb.SetBackendModeRequest(**{**HOLD, "unload": True, **fields})
    told = await router.SetBackendMode(request, timeout=5)
    return [
        (unloading.state, list(unloading.models), unloading.error) for unloading in told.unloadings
    ]


async def test_ollama_is_told_of_each_model_in_memory(world: World) -> None:
    posts = Posts()
    async with ollama(posts, a=4096, b=8192) as server, world.router(server, backend=OLLAMA) as r:
        assert await hold(r) == [(pb.UNLOAD_STATE_DONE, ["a", "b"], "")]
    assert posts.bodies == [{"model": "a", "keep_alive": 0}, {"model": "b", "keep_alive": 0}]


async def test_ollama_by_its_openai_address_is_told_as_well(world: World) -> None:
    posts = Posts()
    async with ollama(posts, a=4096) as server:
        server.models = reply({"data": [model_entry("a") | {"owned_by": "library"}]})
        async with world.router(server) as router:
            assert await hold(router) == [(pb.UNLOAD_STATE_DONE, ["a"], "")]


async def test_llama_swap_is_told_once_for_all(world: World) -> None:
    posts = Posts(reply(b"OK"))
    running = reply({"running": [{"model": "tiny", "state": "ready"}]})
    server = signed("llama-swap", running=running, api__models__unload=posts)
    async with server, world.router(server) as router:
        assert await hold(router) == [(pb.UNLOAD_STATE_DONE, ["tiny"], "")]
    assert len(posts.bodies) == 1


async def test_an_older_llama_swap_is_told_by_its_older_path(world: World) -> None:
    server = signed("llama-swap", running=reply({"running": []}), unload=reply(b"OK"))
    async with server, world.router(server) as router:
        assert await hold(router) == [(pb.UNLOAD_STATE_DONE, [], "")]
    assert "/unload" in server.asked


async def test_lm_studio_is_told_of_each_instance(world: World) -> None:
    posts = Posts()
    models = [
        {"key": "qwen", "loaded_instances": [{"id": "qwen:1"}, {"id": "qwen:2"}]},
        {"key": "nomic", "loaded_instances": []},
    ]
    server = signed(
        "organization_owner",
        api__v1__models=reply({"models": models}),
        api__v1__models__unload=posts,
    )
    async with server, world.router(server) as router:
        assert await hold(router) == [(pb.UNLOAD_STATE_DONE, ["qwen:1", "qwen:2"], "")]
    assert posts.bodies == [{"instance_id": "qwen:1"}, {"instance_id": "qwen:2"}]


@pytest.mark.parametrize("owner", ["vllm", "llamacpp", "somebody", "organization_owner"])
async def test_a_server_without_a_way_is_told_as_such_and_asked_nothing(
    world: World, owner: str
) -> None:
    async with signed(owner) as server, world.router(server) as router:
        [(state, models, error)] = await hold(router)
    assert (state, models) == (pb.UNLOAD_STATE_UNSUPPORTED, [])
    assert "no way to unload models" in error
    assert not [path for path in server.asked if "unload" in path]


@pytest.mark.parametrize(
    ("refusal", "words"),
    [(reply({"error": "no"}, 500), "HTTP 500: no"), (reply({"error": "no"}), "refused: no")],
)
async def test_a_refusal_is_told(world: World, refusal: Answer, words: str) -> None:
    posts = Posts(refusal)
    async with ollama(posts, a=1) as server, world.router(server, backend=OLLAMA) as router:
        assert await hold(router) == [(pb.UNLOAD_STATE_FAILED, [], words)]


async def test_one_model_that_is_not_unloaded_keeps_no_other_in_memory(world: World) -> None:
    posts = Posts(reply({"error": "model 'a' not found"}, 404), reply({}))
    async with (
        ollama(posts, a=1, b=1) as server,
        world.router(server, backend=OLLAMA) as router,
    ):
        [(state, models, error)] = await hold(router)
    assert (state, models) == (pb.UNLOAD_STATE_FAILED, [])
    assert "model 'a' not found" in error
    assert [body["model"] for body in posts.bodies] == ["a", "b"]


@asynccontextmanager
async def working(world: World) -> AsyncIterator[tuple[RouterServiceStub, Posts, asyncio.Event]]:
    """Give a router over an Ollama that answers a request until the event is set."""
    posts, gate = Posts(), asyncio.Event()
    async with ollama(posts, a=4096) as server:
        server.models = reply({"data": [model_entry("a") | {"owned_by": "library"}]})
        slow = Answer(completion("yes").steps, before=(gate,))
        server.documents["/v1/chat/completions"] = slow
        async with world.router(server, reread=lambda: world.settings) as router:
            client = asyncio.create_task(answer(router, asking("hi")))
            await _in_flight(router, 1)
            yield router, posts, gate
            await client


async def test_a_request_is_finished_first(world: World) -> None:
    async with working(world) as (router, posts, gate):
        for _ in range(2):
            assert await hold(router) == [(pb.UNLOAD_STATE_PENDING, [], "")]
        assert posts.bodies == []
        gate.set()
        async with asyncio.timeout(5):
            await posts.came.wait()
    assert posts.bodies == [{"model": "a", "keep_alive": 0}]


async def test_who_may_be_chosen_again_by_then_keeps_its_models(world: World) -> None:
    async with working(world) as (router, posts, gate):
        assert await hold(router) == [(pb.UNLOAD_STATE_PENDING, [], "")]
        await router.SetBackendMode(pb.SetBackendModeRequest(mode=pb.BACKEND_MODE_AUTO))
        gate.set()
    assert posts.bodies == []


async def test_who_waits_for_the_device_is_answered_first(world: World) -> None:
    posts, gates = Posts(), [asyncio.Event(), asyncio.Event()]
    server = signed("llama-swap", running=reply({"running": []}), api__models__unload=posts)
    server.script(*(Answer(completion("yes").steps, before=(gate,)) for gate in gates))
    async with server, world.router(server, backend={"max_concurrent": 1}) as router:
        clients = [asyncio.create_task(answer(router, asking("hi"))) for _ in gates]
        await server.request(0)
        await _waiting(router, 1)
        assert await hold(router) == [(pb.UNLOAD_STATE_PENDING, [], "")]
        gates[0].set()
        await server.request(1)
        await asyncio.sleep(0.1)  # the time to unload, had it been taken
        assert not posts.bodies
        gates[1].set()
        await asyncio.gather(*clients)
        async with asyncio.timeout(5):
            await posts.came.wait()


async def test_another_on_the_same_device_is_noticed_to_be_done(
    world: World, server: OpenAIServer
) -> None:
    posts, gates = Posts(), [asyncio.Event(), asyncio.Event()]
    server.script(*(Answer(completion("yes").steps, before=(gate,)) for gate in gates))
    async with ollama(posts, a=4096) as idle:
        backends = [
            {"name": "a", "url": idle.url, "device": "gpu", **OLLAMA},
            {"name": "b", "url": server.url, "device": "gpu", "max_concurrent": 1},
        ]
        async with world.router(backends=backends) as router:
            call = asking("hi", backend="b")
            clients = [asyncio.create_task(answer(router, call)) for _ in gates]
            await server.request(0)
            await _waiting(router, 1)
            assert await hold(router, backend="a") == [(pb.UNLOAD_STATE_PENDING, [], "")]
            gates[0].set()
            await server.request(1)
            async with asyncio.timeout(5):
                await posts.came.wait()
            gates[1].set()
            await asyncio.gather(*clients)


async def test_a_server_that_a_reload_removed_is_left_to_finish_and_as_it_is(world: World) -> None:
    async with working(world) as (router, posts, gate):
        assert await hold(router) == [(pb.UNLOAD_STATE_PENDING, [], "")]
        world.settings = world.settings.model_copy(update={"backends": ()})
        await router.ReloadBackends(pb.ReloadBackendsRequest())
        await answer(router, asking("hi"))  # by what is built in
        await asyncio.sleep(1.2)  # the time to look again
        assert posts.bodies == []
        gate.set()
    assert posts.bodies == []


async def _waiting(router: RouterServiceStub, count: int) -> None:
    async with asyncio.timeout(5):
        while True:
            listed = await router.ListBackends(pb.ListBackendsRequest())
            if count in [backend.queued_count for backend in listed.backends]:
                return
            await asyncio.sleep(0.01)


async def _in_flight(router: RouterServiceStub, count: int) -> None:
    async with asyncio.timeout(5):
        while True:
            listed = await router.ListBackends(pb.ListBackendsRequest())
            if listed.backends[0].in_flight_count == count:
                return
            await asyncio.sleep(0.01)


# -- whether, and of whom ------------------------------------------------------


@pytest.mark.parametrize(
    ("configured", "asked", "unloads"),
    [(False, {}, 0), (True, {}, 1), (True, {"unload": False}, 0), (False, {"unload": True}, 1)],
)
async def test_who_switches_decides_before_the_configuration(
    world: World, configured: bool, asked: dict[str, bool], unloads: int
) -> None:
    posts = Posts()
    section = {"gaming_unload": configured}
    async with (
        ollama(posts, a=4096) as server,
        world.router(server, backend=OLLAMA, router=section) as router,
    ):
        told = await router.SetBackendMode(pb.SetBackendModeRequest(**HOLD, **asked))
    assert (len(told.unloadings), len(posts.bodies)) == (unloads, unloads)


async def test_servers_elsewhere_and_those_that_are_released_keep_their_models(
    world: World,
) -> None:
    posts = Posts()
    async with (
        ollama(posts, a=4096) as server,
        world.router(server, backend=OLLAMA | {"local": False}) as router,
    ):
        assert await hold(router, backend="a") == []
        assert await hold(router, backend="a", mode=pb.BACKEND_MODE_AUTO) == []
    assert posts.bodies == []


async def test_gaming_mode_is_told_from_what_is_configured(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    backends = [
        {"name": "game", "url": server.url},
        {"name": "quiet", "url": other.url, "explicit_only": True},
    ]
    async with world.router(backends=backends) as router:
        request = pb.SetBackendModeRequest(**HOLD)
        request.hold_duration.FromSeconds(60)
        told = {b.name: b for b in (await router.SetBackendMode(request)).backends}
    assert [told[name].mode for name in told] == [pb.BACKEND_MODE_EXPLICIT_ONLY] * 2
    assert {name: told[name].gaming for name in told} == {"game": True, "quiet": False}
    assert told["game"].HasField("mode_expire_time")
    assert not told["quiet"].HasField("mode_expire_time")
