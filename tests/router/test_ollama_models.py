"""What an Ollama tells of its models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from router_svc.backends.ollama import OllamaBackend
from router_svc.model import Capabilities, Snapshot, State
from svckit import settings
from tests.fakes.answers import reply
from tests.fakes.ollama_server import NO_SUCH_MODEL, details, installed, ollama_server
from tests.fakes.openai_server import OpenAIServer
from tests.router.ollama_backend import QWEN, backend


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    """Give an Ollama that has one model."""
    async with ollama_server(installed(QWEN)) as running:
        yield running


def by_id(snapshot: Snapshot) -> dict[str, Any]:
    return {model.id: model for model in snapshot.models}


async def test_models_are_told_with_window_state_and_abilities() -> None:
    shown = {
        QWEN: details(40960, "completion", "tools", "thinking"),
        "nomic-embed-text": details(2048, "embedding"),
    }
    server = ollama_server(
        installed(QWEN), installed("nomic-embed-text"), loaded={QWEN: 8192}, shown=shown
    )
    async with server, backend(server) as made:
        snapshot = await made.probe()
    found = by_id(snapshot)
    qwen, nomic = found[QWEN], found["nomic-embed-text"]
    assert snapshot.state is State.UP
    assert (qwen.context_length, qwen.loaded, qwen.extra["context_in_force"]) == (40960, True, 8192)
    assert qwen.capabilities == Capabilities(
        chat=True, embeddings=False, tools=True, vision=False, json_schema=True, reasoning=True
    )
    assert (nomic.loaded, nomic.capabilities.chat, nomic.capabilities.embeddings) == (
        False,
        False,
        True,
    )
    assert (qwen.created, qwen.extra["digest"]) == (1759559643, f"digest of {QWEN}")


async def test_details_are_asked_for_once_and_again_after_a_pull() -> None:
    server = ollama_server(installed(QWEN), shown={QWEN: details(40960, "completion")})
    async with server, backend(server) as made:
        await made.probe()
        assert server.asked.count("/api/show") == 1
        server.documents["/api/tags"] = reply({"models": [installed(QWEN, digest="new")]})
        await made.probe()
        assert server.asked.count("/api/show") == 2


async def test_a_newer_server_lists_the_details_itself() -> None:
    model = installed(
        QWEN, details={"context_length": 40960}, capabilities=["completion", "vision"]
    )
    async with ollama_server(model) as server, backend(server) as made:
        [found] = (await made.probe()).models
    assert (found.context_length, found.capabilities.vision) == (40960, True)
    assert "/api/show" not in server.asked


async def test_the_configured_window_bounds_what_is_told() -> None:
    server = ollama_server(installed(QWEN), shown={QWEN: details(40960, "completion")})
    async with server, backend(server, context=8192) as made:
        assert [model.context_length for model in (await made.probe()).models] == [8192]


async def test_a_model_of_a_server_outside_is_told_as_such() -> None:
    remote = installed("gpt-oss:120b-cloud", remote_host="https://ollama.com:443")
    async with ollama_server(remote, installed(QWEN)) as server, backend(server) as made:
        assert [model.remote for model in (await made.probe()).models] == [True, False]


async def test_models_whose_details_cannot_be_had_are_told_without() -> None:
    async with ollama_server(installed(QWEN)) as server, backend(server) as made:
        [found] = (await made.probe()).models
    assert (found.context_length, found.capabilities) == (None, Capabilities())


async def test_only_the_configured_models_are_told() -> None:
    server = ollama_server(installed("a"), installed("b"))
    async with server, backend(server, models=["b", "absent"]) as made:
        assert list(by_id(await made.probe())) == ["b", "absent"]


async def test_a_server_that_is_gone_is_down_and_its_models_are_remembered(
    server: OpenAIServer,
) -> None:
    async with backend(server) as made:
        await server.__aexit__()
        snapshot = await made.probe()
    assert (snapshot.state, list(by_id(snapshot))) == (State.DOWN, [QWEN])
    assert "cannot be reached" in snapshot.error


@pytest.mark.parametrize(
    "tags", [reply(b"<html>"), reply([]), reply({"error": "x"}, 500), NO_SUCH_MODEL]
)
async def test_what_lists_nothing_is_down(server: OpenAIServer, tags: Any) -> None:
    server.documents["/api/tags"] = tags
    made = OllamaBackend(settings.Backend(name="o", url=server.url))
    snapshot = await made.probe()
    await made.close()
    assert (snapshot.state, snapshot.models) == (State.DOWN, ())
    assert snapshot.error


async def test_a_look_is_never_an_inference(server: OpenAIServer) -> None:
    async with backend(server):
        assert set(server.asked) == {"/api/tags", "/api/ps", "/api/show"}
    assert not server.received


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/api"])
def test_the_address_may_be_written_in_every_way(path: str) -> None:
    config = settings.Backend(name="o", url=f"http://127.0.0.1:11434{path}")
    assert OllamaBackend(config).url == "http://127.0.0.1:11434"
