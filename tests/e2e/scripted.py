"""A backend that answers what a test tells it to, and a person who chats with it through lair.

The backend keeps every prompt as it came, and the person can look into memory by gRPC: at
all messages of a conversation, those of abandoned branches too.
"""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest

from lair.memory.v1 import conversation_service_pb2 as wire
from lair.memory.v1.conversation_pb2 import StoredMessage, StoredTurn
from lair.memory.v1.conversation_service_pb2_grpc import ConversationServiceStub
from tests.e2e.stack import Lair, eventually

Messages = list[dict[str, Any]]
_PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Failing:
    """A status with which the backend refuses, or a text after which it breaks off."""

    status: int = 0
    text: str = ""


@dataclass(slots=True)
class Backend:
    """What the next chats get, one after the other, and the bodies of those that came.

    An answer is a text, a whole message, or a failure; it waits while `ready` is not set.
    """

    url: str = ""
    answers: deque[str | dict[str, Any] | Failing] = field(default_factory=deque)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    ready: threading.Event = field(default_factory=threading.Event)

    @property
    def prompt(self) -> Messages:
        """The messages of the last chat, exactly as they came."""
        messages: Messages = self.bodies[-1]["messages"]
        return messages


@contextmanager
def scripted_backend() -> Iterator[Backend]:
    """Serve a backend of the model `scripted` in threads of its own."""
    backend = Backend()
    backend.ready.set()
    handler = type("Handler", (_Handler,), {"backend": backend})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    backend.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield backend
    finally:
        backend.ready.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    backend: Backend

    def do_GET(self) -> None:
        models = [{"id": "scripted", "object": "model"}] if "models" in self.path else []
        self.reply(200, json.dumps({"object": "list", "data": models}).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.backend.bodies.append(body)
        answer = self.backend.answers.popleft()
        self.backend.ready.wait(_PATIENCE_SECONDS)
        if isinstance(answer, Failing) and answer.status:
            self.reply(answer.status, b'{"error": {"message": "no"}}')
        elif body.get("stream"):
            self.stream(answer)
        else:
            assert not isinstance(answer, Failing), "only a stream can break off"
            self.reply(200, json.dumps(_completion(_message(answer))).encode())

    def stream(self, answer: str | dict[str, Any] | Failing) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        text = answer.text if isinstance(answer, Failing) else answer
        for event in _events(_message(text), whole=text is answer):
            self.wfile.write(b"data: " + event + b"\n\n")

    def reply(self, status: int, payload: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _message(answer: str | dict[str, Any]) -> dict[str, Any]:
    said = {"content": answer} if isinstance(answer, str) else answer
    return {"role": "assistant", **said}


def _completion(message: dict[str, Any]) -> dict[str, Any]:
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    choice = {"index": 0, "message": message, "finish_reason": finish}
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    named = {"id": "c", "object": "chat.completion", "created": 1, "model": "scripted"}
    return {**named, "choices": [choice], "usage": usage}


def _events(message: dict[str, Any], *, whole: bool) -> Iterator[bytes]:
    """Yield the pieces of a message, and its end if it is whole."""
    calls = [{"index": n, **call} for n, call in enumerate(message.get("tool_calls", ()))]
    text = message.get("content") or ""
    half = len(text) // 2
    pieces: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    pieces += [{"content": text[:half]}, {"content": text[half:]}]
    pieces += [{"tool_calls": calls}] if calls else []
    for piece in pieces:
        yield _chunk(piece, None)
    if whole:
        yield _chunk({}, "tool_calls" if calls else "stop")
        yield b"[DONE]"


def _chunk(delta: dict[str, Any], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    named = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    return json.dumps({**named, "choices": [choice]}).encode()


def said(*texts: str, begin: str = "user") -> Messages:
    """Return what the user and the assistant say in turn."""
    roles = ["user", "assistant"] if begin == "user" else ["assistant", "user"]
    return [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]


@dataclass(frozen=True, slots=True)
class Tree:
    """A stored conversation: its active path, and the paths to all other ends, oldest first."""

    active: list[str]
    others: list[list[str]]
    count: int  # of all messages


class Person:
    """Someone who chats in one conversation; `turns` counts what memory is to keep."""

    def __init__(self, lair: Lair, backend: Backend, name: str) -> None:
        self.lair = lair
        self.backend = backend
        self.name = name
        self.turns = 0
        # What the last answer said of memory, and where it is kept.
        self.told, self.kept_in = "", ""
        self.conversation = "talk"

    def send(
        self, path: str, body: dict[str, Any], answer: str | dict[str, Any] | Failing, **named: str
    ) -> str:
        """Ask by any API; return the text of what came back, events or JSON."""
        self.backend.answers.append(answer)
        self.turns += not (isinstance(answer, Failing) and answer.status)
        headers = {"content-type": "application/json", "X-User-ID": self.name}
        headers |= {name.replace("_", "-"): value for name, value in named.items()}
        asked = urllib.request.Request(
            self.lair.url + path, json.dumps({"model": "scripted", **body}).encode(), headers
        )
        with urllib.request.urlopen(asked, timeout=60) as reply:
            self.told = reply.headers["x-lair-memory"]
            self.kept_in = reply.headers["x-conversation-id"] or ""
            return str(reply.read().decode())

    def chat(
        self,
        messages: Messages,
        answer: str | dict[str, Any] | Failing,
        *,
        stream: bool = False,
        **named: str,
    ) -> str:
        """Send chat completions' messages in the conversation."""
        body = {"messages": messages, "stream": stream}
        conversation = {"X-Conversation-ID": self.conversation}
        return self.send("/v1/chat/completions", body, answer, **{**conversation, **named})

    def fail(self, messages: Messages, failure: Failing) -> None:
        """Send what the backend refuses."""
        with pytest.raises(urllib.error.HTTPError) as caught:
            self.chat(messages, failure)
        assert caught.value.code == failure.status
        caught.value.close()

    def leave(self, messages: Messages, answer: str, **named: str) -> None:
        """Send messages and hang up before the answer, which is read to its end all the same."""
        self.backend.ready.clear()
        count = len(self.backend.bodies)
        leaving = socket.create_connection(("127.0.0.1", self.lair.port))
        with leaving:
            leaving.sendall(self._raw(messages, named))
            self.backend.answers.append(answer)
            eventually(lambda: len(self.backend.bodies) > count, what="the backend is asked")
        self.backend.ready.set()

    def _raw(self, messages: Messages, named: dict[str, str]) -> bytes:
        body = json.dumps({"model": "scripted", "messages": messages, "stream": False}).encode()
        headers = {"Host": f"127.0.0.1:{self.lair.port}", "Content-Type": "application/json"}
        headers |= {"Content-Length": str(len(body)), "X-User-ID": self.name}
        headers |= {"X-Conversation-ID": self.conversation}
        headers |= {name.replace("_", "-"): value for name, value in named.items()}
        lines = [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join(["POST /v1/chat/completions HTTP/1.1", *lines, "", ""]).encode() + body

    def tree(self, conversation: str = "") -> Tree:
        """Return the conversation as it is stored, once all turns are."""
        self.stored_turns()
        request = wire.ListMessagesRequest(
            user_id=self.name,
            conversation_id=conversation or self.conversation,
            include_inactive=True,
            page_size=1000,
        )
        with self._memory() as memory:
            return _tree(memory.ListMessages(request).messages)

    def stored_turns(self) -> Sequence[StoredTurn]:
        """Return the person's turns once all are stored, the oldest first."""
        listing = wire.ListTurnsRequest(user_id=self.name, page_size=100)
        with self._memory() as memory:
            eventually(
                lambda: len(memory.ListTurns(listing).turns) >= self.turns,
                seconds=_PATIENCE_SECONDS,
                what=f"{self.turns} turns are stored",
            )
            turns = memory.ListTurns(listing).turns
        assert len(turns) == self.turns
        return turns

    @contextmanager
    def _memory(self) -> Iterator[ConversationServiceStub]:
        with grpc.insecure_channel(f"127.0.0.1:{self.lair.port + 2}") as channel:
            yield ConversationServiceStub(channel)


def _tree(stored: Sequence[StoredMessage]) -> Tree:
    by_id = {each.id: each for each in stored}

    def path(each: StoredMessage) -> list[str]:
        above = path(by_id[each.parent_id]) if each.parent_id else []
        assert each.position == len(above)
        return [*above, _shown(each)]

    parents = {each.parent_id for each in stored}
    others = [path(each) for each in stored if each.id not in parents and not each.active]
    active = [each for each in stored if each.active]
    assert path(active[-1]) == [_shown(each) for each in sorted(active, key=lambda m: m.position)]
    return Tree(path(active[-1]), others, len(stored))


def _shown(stored: StoredMessage) -> str:
    message = stored.message
    text = message.text or " + ".join(part.text or part.type for part in message.parts.parts)
    called = [f"{call.function.name}{call.function.arguments}" for call in message.tool_calls]
    return f"{message.role[0]}: {' '.join(filter(None, (text, *called)))}"
