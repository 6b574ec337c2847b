"""Which backends there are, how they are, and what they serve."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from lair.router.v1.router_service_pb2 import (
    BACKEND_STATE_DOWN,
    BACKEND_STATE_LOADING,
    BACKEND_STATE_UP,
    Backend,
    ListBackendsRequest,
    ListModelsRequest,
    Model,
)
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from router_svc.backends.connection import is_local
from router_svc.backends.kinds import make_backend
from router_svc.backends.openai import OpenAIBackend
from router_svc.catalog import Catalog
from router_svc.devices import Devices
from router_svc.leftovers import Leftovers
from router_svc.model import Snapshot, State
from router_svc.modes import Modes
from router_svc.queue import QueueLimits
from router_svc.standing import Standings
from svckit import settings
from svckit.config import ConfigError
from tests.fakes.answers import Answer, Step, model_entry, reply
from tests.fakes.openai_server import OpenAIServer, free_port
from tests.router.world import DEADLINE_SECONDS, World, answer, asking, failure


@pytest.fixture
async def watching(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Give settings under which every look is a fresh one, and looks are frequent."""
    monkeypatch.setattr("router_svc.catalog._FRESH_SECONDS", 0.0)
    return {"probe_seconds": 0.02}


async def backends(router: RouterServiceStub) -> dict[str, Backend]:
    reply = await router.ListBackends(ListBackendsRequest(), timeout=DEADLINE_SECONDS)
    return {backend.name: backend for backend in reply.backends}


async def models(router: RouterServiceStub, **page: Any) -> list[Model]:
    reply = await router.ListModels(ListModelsRequest(**page), timeout=DEADLINE_SECONDS)
    return list(reply.models)


async def until(
    router: RouterServiceStub, true: Callable[[dict[str, Backend]], bool]
) -> dict[str, Backend]:
    """Ask for the backends until they are as they should be."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not true(found := await backends(router)):  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.01)
    return found


def is_up(name: str) -> Callable[[dict[str, Backend]], bool]:
    """Look for a backend that was found and asked: before that it has no models."""
    return lambda known: name in known and known[name].state == BACKEND_STATE_UP


# -- discovery -----------------------------------------------------------------


async def test_a_server_on_a_given_port_is_found_used_and_forgotten(
    world: World, watching: dict[str, Any]
) -> None:
    port = free_port()
    look = {**watching, "discover": True, "discover_ports": [port]}
    name = f"local-{port}"
    async with world.router(router=look) as router:
        assert list(await backends(router)) == ["lair"]
        async with OpenAIServer("found", port=port) as server:
            found = (await until(router, is_up(name)))[name]
            assert list(found.models) == ["found"]
            assert (found.local, found.url) == (True, server.url)
            route = (await answer(router, asking("hi"))).route
            assert (route.backend, route.model) == (name, "found")
        await until(router, lambda known: name not in known)
        assert [model.id for model in await models(router)] == ["auto", "lair/recall"]


@pytest.mark.parametrize(
    "lists",
    [reply(b"<html>"), reply({"data": []}), reply({"data": 5}), reply([]), reply({}, 404)],
    ids=["html", "no model", "odd", "list", "404"],
)
async def test_what_does_not_list_models_is_no_server(
    world: World, server: OpenAIServer, lists: Answer
) -> None:
    server.models = lists
    look = {"discover": True, "discover_ports": [server.port]}
    async with world.router(router=look) as router:
        assert list(await backends(router)) == ["lair"]


async def test_a_configured_server_is_not_found_a_second_time(
    world: World, server: OpenAIServer
) -> None:
    look = {"discover": True, "discover_ports": [server.port]}
    async with world.router(server, router=look) as router:
        assert list(await backends(router)) == ["a", "lair"]


async def test_a_server_that_goes_between_choice_and_question_is_the_servers_failure(
    world: World, server: OpenAIServer, watching: dict[str, Any]
) -> None:
    port, over = free_port(), asyncio.Event()
    server.script(Answer((), status=500, before=(over,)))
    look = {**watching, "discover": True, "discover_ports": [port]}
    async with world.router(server, router=look) as router:
        async with OpenAIServer("found", port=port):
            await until(router, is_up(f"local-{port}"))
            client = asyncio.create_task(failure(answer(router, asking("hi"))))
            await server.request(0)  # the found server is the next to be asked
        await until(router, lambda known: f"local-{port}" not in known)
        over.set()
        error = await client
    assert error.reason == "UPSTREAM_FAILED"
    assert error.message == f"local-{port}: its server is gone (also asked: a)"


# -- how a backend is ----------------------------------------------------------


@pytest.mark.parametrize(
    ("lists", "state", "error"),
    [
        (reply({"error": "Loading model"}, 503), State.LOADING, "loading its model"),
        (reply({"error": {"message": "bad key"}}, 401), State.DOWN, "HTTP 401: bad key"),
        (reply({}, 500), State.DOWN, "HTTP 500: {}"),
        (reply(b"<html>"), State.DOWN, "invalid JSON"),
        (Answer((), before=(Step.CUT,)), State.DOWN, "cannot be reached"),
        (Answer((b"{", Step.HANG)), State.DOWN, "cannot be reached"),
    ],
    ids=["loading", "key", "broken", "html", "cut", "slow"],
)
async def test_how_a_backend_is_read_from_its_list(
    server: OpenAIServer,
    monkeypatch: pytest.MonkeyPatch,
    lists: Answer,
    state: State,
    error: str,
) -> None:
    monkeypatch.setattr("router_svc.backends.openai._PROBE_SECONDS", 0.2)
    server.models = lists
    backend = make_backend(settings.Backend(name="a", url=server.url))
    snapshot = await backend.probe()
    await backend.close()
    assert (snapshot.state, snapshot.models) == (state, ())
    assert error in snapshot.error


async def test_a_server_without_a_list_is_up_where_its_models_are_configured(
    world: World, server: OpenAIServer
) -> None:
    server.models = reply({}, 404)
    async with world.router(server, backend={"models": ["given"]}) as router:
        assert (await backends(router))["a"].state == BACKEND_STATE_UP
        assert (await answer(router, asking("hi", model="given"))).route.backend == "a"


async def test_a_backend_that_is_down_keeps_its_models_and_comes_back(
    world: World, server: OpenAIServer, watching: dict[str, Any]
) -> None:
    async with world.router(server, router=watching) as router:
        server.models = reply({}, 503)
        found = await until(router, lambda known: known["a"].state == BACKEND_STATE_LOADING)
        assert list(found["a"].models) == ["tiny"]
        server.models = reply({}, 500)
        found = await until(router, lambda known: known["a"].state == BACKEND_STATE_DOWN)
        assert list(found["a"].models) == ["tiny"]
        server.models = reply({"data": [model_entry("new")]})
        found = await until(router, lambda known: known["a"].state == BACKEND_STATE_UP)
        assert list(found["a"].models) == ["new"]


async def test_a_backend_that_cannot_be_reached_is_asked_last_at_once(
    world: World, other: OpenAIServer
) -> None:
    async with OpenAIServer("tiny") as gone, world.router(gone, other) as router:
        await gone.__aexit__()
        first = (await answer(router, asking("hi"))).route
        second = (await answer(router, asking("hi"))).route
        assert (await backends(router))["a"].state == BACKEND_STATE_DOWN
    assert (first.backend, first.fallback_count) == ("b", 1)
    assert (second.backend, second.fallback_count) == ("b", 0)


@pytest.mark.parametrize(
    "other_body", [b"\xff\xfe", b"[" * 100_000, b'{"data": [{"id": "a", "created": {}}]}']
)
async def test_no_list_whatever_it_holds_ends_the_watch(
    world: World, server: OpenAIServer, watching: dict[str, Any], other_body: bytes
) -> None:
    async with world.router(server, router=watching) as router:
        before = (await backends(router))["a"].check_time.ToMicroseconds()
        server.models = reply(other_body)
        await until(router, lambda known: known["a"].check_time.ToMicroseconds() > before + 50_000)
        assert (await answer(router, asking("hi"))).route.backend == "a"


# -- models --------------------------------------------------------------------


async def test_a_model_that_came_since_the_last_look_is_found(
    world: World, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router_svc.catalog._FRESH_SECONDS", 0.0)
    async with world.router(server) as router:
        server.models = reply({"data": [model_entry("tiny"), model_entry("pulled")]})
        assert (await answer(router, asking("hi", model="pulled"))).route.model == "pulled"


async def test_a_model_nobody_serves_is_looked_for_and_then_unknown(
    world: World, router: RouterServiceStub, server: OpenAIServer
) -> None:
    error = await failure(answer(router, asking("hi", model="tinny")))
    assert (error.reason, error.metadata) == ("MODEL_NOT_FOUND", {"model": "tinny"})
    assert "did you mean 'tiny'?" in error.message
    assert (await world.metrics.record()).http_status == 404
    assert not server.received


async def test_unknown_models_do_not_make_the_backends_busy(
    server: OpenAIServer, tmp_path: Path
) -> None:
    looks = []

    class Counting(OpenAIBackend):
        async def probe(self) -> Snapshot:
            looks.append(self.name)
            return await super().probe()

    backend = Counting(settings.Backend(name="a", url=server.url))
    catalog = Catalog(
        [backend],
        probe_seconds=3600,
        discover_ports=(),
        standings=Standings(
            Modes(tmp_path / "modes.json"), Devices(QueueLimits(9, 9)), Leftovers(0)
        ),
        aliases={},
    )
    await asyncio.gather(*(catalog.refresh(if_older=True) for _ in range(10)))
    await catalog.close()
    assert looks == ["a"]


@pytest.fixture
async def many(world: World) -> AsyncIterator[RouterServiceStub]:
    """Give a router over two servers whose models overlap and sort around `auto`."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(OpenAIServer("zeta", "Alpha", "both"))
        second = await stack.enter_async_context(OpenAIServer("both", "org/x:7b"))
        yield await stack.enter_async_context(world.router(first, second))


ALL = ["auto", "Alpha", "both", "lair/recall", "org/x:7b", "zeta"]


async def test_models_are_listed_once_each_auto_first(many: RouterServiceStub) -> None:
    listed = await models(many)
    assert [model.id for model in listed] == ALL
    assert [model.backend for model in listed] == ["", "a", "a", "lair", "b", "a"]
    assert json.loads(listed[1].extra_json) == {"owned_by": "test"}
    assert listed[1].created == 1700000000


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 5000])
async def test_pages_of_any_size_hold_every_model_once(many: RouterServiceStub, size: int) -> None:
    listed: list[str] = []
    token, pages = "", 0
    while pages == 0 or token:
        request = ListModelsRequest(page_size=size, page_token=token)
        page = await many.ListModels(request, timeout=DEADLINE_SECONDS)
        listed += [model.id for model in page.models]
        token, pages = page.next_page_token, pages + 1
    assert listed == ALL
    assert pages == -(-len(ALL) // size)


@pytest.mark.parametrize(
    ("page", "field"), [({"page_size": -1}, "page_size"), ({"page_token": "!"}, "page_token")]
)
async def test_a_page_that_cannot_be_is_refused(
    many: RouterServiceStub, page: dict[str, Any], field: str
) -> None:
    error = await failure(many.ListModels(ListModelsRequest(**page), timeout=DEADLINE_SECONDS))
    assert (error.reason, error.metadata) == ("INVALID_FIELD", {"field": field})


# -- settings of a backend -----------------------------------------------------


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:1/v1", True),
        ("http://[::1]:1/v1", True),
        ("http://192.168.1.7/v1", True),
        ("http://localhost:1", True),
        ("http://gpu-box:1", True),
        ("http://gpu.local", True),
        ("https://api.example.com/v1", False),
        ("http://8.8.8.8/v1", False),
    ],
)
def test_what_is_in_the_house(url: str, local: bool) -> None:
    assert is_local(url) is local


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'openai'"):
        make_backend(settings.Backend(name="a", url="http://x", kind="openia"))


def test_a_key_that_the_environment_does_not_hold_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ConfigError, match="NO_SUCH_KEY"):
        make_backend(settings.Backend(name="a", url="http://x", api_key="env:NO_SUCH_KEY"))
