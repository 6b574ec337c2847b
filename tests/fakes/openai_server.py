"""An OpenAI-compatible backend that does exactly what a test tells it to.

    async with OpenAIServer("tiny") as server:
        server.script(stream(chunk("Hel"), chunk("lo"), chunk(finish="stop"), DONE))
        …                                   # ask http://127.0.0.1:{server.port}/v1
        received = await server.request(0)  # what reached it, and whether the client left

`answers.py` has what it can be told.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from tests.fakes.answers import Answer, AnyStep, Step, greeting, model_entry, reply

PATIENCE_SECONDS = 10.0


@dataclass(slots=True)
class Received:
    """A chat that reached the server, or a text to complete or make vectors of."""

    body: dict[str, Any]
    headers: Mapping[str, str]
    path: str = ""
    # Set when the answer is over, one way or the other.
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    # When that was, by `time.monotonic`.
    end_seconds: float = 0.0
    # Whether the client went away before the answer was complete.
    disconnected: bool = False


Document = Answer | Callable[[bytes], Answer]


class OpenAIServer:
    """Serves `/v1/models`, and the script for chats, texts and vectors, while it is entered.

    `documents` are further answers, by path; a function is given the request's body.
    """

    def __init__(
        self,
        *models: str,
        port: int = 0,
        chat_path: str = "/v1/chat/completions",
        documents: Mapping[str, Document] | None = None,
    ) -> None:
        self.port = port
        self.documents = dict(documents or {})
        # The paths of all that was asked for beside the list of models and chats.
        self.asked: list[str] = []
        self.models = reply({"object": "list", "data": [model_entry(name) for name in models]})
        self.received: list[Received] = []
        self._script: list[Answer | Callable[[dict[str, Any]], Answer]] = [greeting]
        self._arrived = asyncio.Condition()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/v1/models", self._models)
        for path in (chat_path, "/v1/completions", "/v1/embeddings"):
            app.router.add_post(path, self._chat)
        app.router.add_route("*", "/{path:.*}", self._document)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None
        )

    @property
    def url(self) -> str:
        """The base URL, `/v1` included."""
        return f"http://127.0.0.1:{self.port}/v1"

    def script(self, *answers: Answer | Callable[[dict[str, Any]], Answer]) -> None:
        """Set what the next chats get, one after the other; the last answer repeats.

        A function is given the request's body and returns the answer.
        """
        self._script = list(answers)

    async def request(self, number: int) -> Received:
        """Wait for the chat `number`, counted from 0."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._arrived:
            await self._arrived.wait_for(lambda: len(self.received) > number)
        return self.received[number]

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _models(self, request: web.Request) -> web.StreamResponse:
        return await _perform(request, self.models)

    async def _document(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        document = self.documents.get(request.path, reply({"error": "not found"}, 404))
        if not isinstance(document, Answer):
            document = document(await request.read())
        return await _perform(request, document)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        received = Received(json.loads(await request.read()), request.headers, request.path)
        answer = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        async with self._arrived:
            self.received.append(received)
            self._arrived.notify_all()
        try:
            return await _perform(
                request, answer if isinstance(answer, Answer) else answer(received.body)
            )
        except (asyncio.CancelledError, ConnectionError):
            received.disconnected = True
            raise
        finally:
            received.end_seconds = time.monotonic()
            received.ended.set()


async def _perform(request: web.Request, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=dict(answer.headers))
    response.content_type = answer.content_type
    for step in answer.before:
        await _step(step, request, response)
    await response.prepare(request)
    for step in answer.steps:
        await _step(step, request, response)
    return response


async def _step(step: AnyStep, request: web.Request, response: web.StreamResponse) -> None:
    if isinstance(step, bytes):
        await response.write(step)
    elif isinstance(step, asyncio.Event):
        await step.wait()
    elif step is Step.CUT:
        assert request.transport
        request.transport.close()
    elif step is Step.HANG:
        await asyncio.Event().wait()
    else:
        assert not isinstance(step, Step)
        await asyncio.sleep(step)


def free_port() -> int:
    """Return a port of loopback that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
