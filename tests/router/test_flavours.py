"""A backend learns which server it talks to, and behaves accordingly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lair.common.v1.chat_pb2 import ContentPart, ContentParts, ImageUrl, Message
from lair.router.v1.chat_pb2 import ChatCall
from lair.router.v1.router_service_pb2 import ListBackendsRequest
from router_svc.backends.discovery import discover
from router_svc.backends.flavours import QUESTIONS, Flavour
from router_svc.backends.kinds import make_backend
from router_svc.backends.ollama import OllamaBackend
from router_svc.backends.openai import OpenAIBackend
from router_svc.model import State
from svckit import settings
from tests.fakes.answers import Answer, model_entry, reply
from tests.fakes.ollama_server import details, ends, installed, lines, ollama_server, says
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import DEADLINE_SECONDS, World, answer, asking, failure

ASKED = {path for path, *_ in QUESTIONS}


def signed(owner: str, **more: Any) -> Answer:
    """Answer `/models` with one model that `owner` signed."""
    return reply({"data": [{**model_entry("tiny"), "owned_by": owner, **more}]})


@asynccontextmanager
async def backend(server: OpenAIServer, **config: Any) -> AsyncIterator[OpenAIBackend]:
    made = OpenAIBackend(settings.Backend(name="a", url=server.url, **config))
    yield made
    await made.close()


# -- which one it is -----------------------------------------------------------


async def test_who_signs_is_asked_only_for_its_own_documents(server: OpenAIServer) -> None:
    server.models = signed("vllm", max_model_len=32768)
    gauges = b"vllm:num_requests_running 2.0\nvllm:num_requests_waiting 1.0\n"
    server.documents["/metrics"] = Answer((gauges,), content_type="text/plain")
    async with backend(server) as made:
        snapshot = await made.probe()
        assert made.flavour is Flavour.VLLM
    assert server.asked == ["/metrics"]
    assert (snapshot.running, snapshot.waiting) == (2, 1)
    [model] = snapshot.models
    assert (model.context_length, model.loaded) == (32768, True)


async def test_who_does_not_sign_is_asked_who_it_is_once(server: OpenAIServer) -> None:
    async with backend(server) as made:
        await made.probe()
        assert set(server.asked) == ASKED
        await made.probe()
        assert len(server.asked) == len(ASKED)
        assert made.flavour is Flavour.OPENAI


async def test_who_does_not_sign_is_known_by_its_documents(server: OpenAIServer) -> None:
    server.documents["/running"] = reply({"running": [{"model": "tiny", "state": "ready"}]})
    async with backend(server) as made:
        [model] = (await made.probe()).models
        assert (made.flavour, model.loaded) == (Flavour.LLAMASWAP, True)


async def test_a_remote_server_that_does_not_sign_is_not_asked(server: OpenAIServer) -> None:
    async with backend(server, local=False) as made:
        assert (await made.probe()).state is State.UP
    assert server.asked == []


async def test_a_server_that_was_replaced_is_recognised_anew() -> None:
    async with OpenAIServer("tiny") as first, backend(first) as made:
        first.models = signed("vllm")
        await made.probe()
        await first.__aexit__()
        assert (await made.probe()).state is State.DOWN
        async with OpenAIServer("tiny", port=first.port) as second:
            second.models = signed("llamacpp")
            await made.probe()
            assert made.flavour is Flavour.LLAMACPP


async def test_a_look_is_never_an_inference(server: OpenAIServer) -> None:
    for owner in ("vllm", "llamacpp", "organization_owner", "llama-swap", "library", "?"):
        server.models = signed(owner)
        async with backend(server) as made:
            assert (await made.probe()).state is State.UP
    assert not server.received


async def test_a_llamacpp_that_loads_is_loading_whatever_it_lists(server: OpenAIServer) -> None:
    server.models = signed("llamacpp")
    loading = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
    server.documents["/health"] = server.documents["/props"] = reply(loading, 503)
    async with backend(server) as made:
        snapshot = await made.probe()
    assert (snapshot.state, snapshot.error) == (State.LOADING, "loading its model")


async def test_documents_that_fail_do_not_make_a_server_down(server: OpenAIServer) -> None:
    server.models = signed("llamacpp", meta={"n_ctx": 1024})
    server.documents["/props"] = reply(b"<html>", 500)
    async with backend(server) as made:
        snapshot = await made.probe()
    assert (snapshot.state, snapshot.error) == (State.UP, "")
    assert snapshot.models[0].context_length == 1024


async def test_configured_models_are_told_with_what_the_server_knows(server: OpenAIServer) -> None:
    server.models = signed("vllm", max_model_len=32768)
    async with backend(server, models=["tiny", "unlisted"]) as made:
        models = (await made.probe()).models
    assert [(model.id, model.context_length) for model in models] == [
        ("tiny", 32768),
        ("unlisted", None),
    ]


# -- what follows of it --------------------------------------------------------


def looking() -> ChatCall:
    image = ContentPart(type="image_url", image_url=ImageUrl(url="https://example.com/cat.png"))
    parts = ContentParts(parts=[ContentPart(type="text", text="look"), image])
    return asking(messages=[Message(role="user", parts=parts)])


async def test_what_one_server_refuses_another_is_asked(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    server.models = signed("organization_owner")
    async with world.router(server, other) as router:
        route = (await answer(router, looking())).route
    assert (route.backend, route.fallback_count) == ("b", 1)
    assert not server.received


async def test_what_all_refuse_is_told_with_the_field(world: World, server: OpenAIServer) -> None:
    server.models = signed("organization_owner")
    async with world.router(server) as router:
        error = await failure(answer(router, looking()))
        again = await router.ListBackends(ListBackendsRequest(), timeout=DEADLINE_SECONDS)
    assert (error.reason, error.meaning.http) == ("UPSTREAM_REJECTED", 400)
    assert "messages[0].content[1].image_url" in error.message
    assert not again.backends[0].resting


async def test_the_fields_a_server_gets_are_those_it_takes(
    world: World, server: OpenAIServer
) -> None:
    server.models = signed("library")
    async with world.router(server) as router:
        await answer(router, asking("hi", max_completion_tokens=5))
    assert server.received[0].body["max_tokens"] == 5


# -- discovery -----------------------------------------------------------------


async def test_an_ollama_that_is_found_is_used_natively(world: World) -> None:
    server = ollama_server(installed("qwen3:8b"), shown={"qwen3:8b": details(40960, "completion")})
    async with server:
        server.script(lines(says("Hello"), ends()))
        look = {"discover": True, "discover_ports": [server.port]}
        async with world.router(router=look) as router:
            response = await answer(router, asking("hi", model="qwen3:8b"))
    assert response.route.backend == f"ollama-{server.port}"
    assert response.completion.choices[0].message.text == "Hello"


async def test_a_server_that_is_found_is_named_after_what_it_is(server: OpenAIServer) -> None:
    server.models = signed("llama-swap")
    [found] = await discover([server.port], [])
    await found.close()
    assert (found.name, found.kind) == (f"llamaswap-{server.port}", "openai")


async def test_a_native_ollama_is_not_found_a_second_time() -> None:
    async with ollama_server(installed("qwen3:8b")) as server:
        [found] = await discover([server.port], [])
        assert isinstance(found, OllamaBackend)
        assert await discover([server.port], [found.url]) == []
        await found.close()


@pytest.mark.parametrize("kind", ["openai", "ollama"])
def test_both_kinds_can_be_configured(kind: str) -> None:
    assert make_backend(settings.Backend(name="a", url="http://x", kind=kind)).kind == kind
