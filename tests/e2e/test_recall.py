"""What was said in other conversations reaches the prompt of a genuine model, of its owner only."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.e2e.stack import Lair, eventually, lair_up
from tests.e2e.test_grpc import call

QUESTION = "What is my favourite colour?"
FACT = "My favourite colour is teal."
TRADING = "What did we discuss last week about trading?"
PATIENT = {"LAIR_MEMORY__RECALL_TIMEOUT_MS": "10000"}
MARK = "<lair-memory>"
# By days ago and conversation: what the user and the assistant said in turn.
PAST = {
    (70, "brokers"): ["Which broker is cheapest for trading options?", "Compare their fees."],
    (30, "garden"): ["When should I prune the roses?", "In late winter, before they bud."],
    (14, "bread"): ["My sourdough does not rise.", "Feed the starter twice a day."],
    (7, "silver"): [
        "About trading: should I sell the silver futures before the Fed meets?",
        "For your trading plan: sell half of the silver futures, with a stop at 29.",
        "Agreed. And no trading on Fridays from now on.",
    ],
    (1, "kitten"): ["We adopted a kitten from the shelter.", "How lovely!"],
}


@contextmanager
def overheard(url: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Pass requests on to the server at `url`; yield its new URL and the bodies of chats."""
    bodies: list[dict[str, Any]] = []

    class Passing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.pass_on(None)

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            if self.path.endswith("/chat/completions"):
                bodies.append(json.loads(data))
            self.pass_on(data)

        def pass_on(self, data: bytes | None) -> None:
            target = url.removesuffix("/v1") + self.path
            asked = urllib.request.Request(target, data, {"content-type": "application/json"})
            try:
                with urllib.request.urlopen(asked, timeout=30) as reply:
                    status, payload = reply.status, reply.read()
            except urllib.error.HTTPError as error:
                status, payload = error.code, error.read()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Passing)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(
    lair: Lair, text: str, user: str, path: str = "/v1/chat/completions", **named: str
) -> tuple[str, str]:
    """Ask with memory on; return the answer and what is told of memory."""
    said = {"input": text} if path.endswith("responses") else {"messages": _messages(text)}
    body = {"model": "tiny-chat", "temperature": 0, "max_tokens": 60, **said}
    headers = {"content-type": "application/json", "X-Enable-Memory": "true", "X-User-ID": user}
    headers |= {name.replace("_", "-"): value for name, value in named.items()}
    asked = urllib.request.Request(lair.url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(asked, timeout=60) as reply:
        return _text(json.load(reply)), reply.headers["x-lair-memory"]


def _messages(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _text(reply: dict[str, Any]) -> str:
    """Read the answer in any of the three dialects."""
    if "choices" in reply:
        return str(reply["choices"][0]["message"]["content"])
    content = reply["content"] if "content" in reply else reply["output"][-1]["content"]
    return "".join(part.get("text", "") for part in content)


def found(lair: Lair, words: str, user: str) -> list[str]:
    passages = lair.get(f"/memory/search?q={words.replace(' ', '+')}", X_User_ID=user)["passages"]
    return [passage["text"] for passage in passages]


def remember(lair: Lair, user: str, days: int, conversation: str, said: list[str]) -> str:
    """Store turns of some days ago; return their day."""
    at = datetime.now(UTC) - timedelta(days=days)
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "text": text} for n, text in enumerate(said)]
    turn = {
        "requestId": f"{user}-{conversation}",
        "caller": {"userId": user},
        "conversationId": conversation,
        "messages": messages,
        "requestTime": at.isoformat().replace("+00:00", "Z"),
    }
    service = "lair.memory.v1.ConversationService/AppendTurns"
    assert call(lair.port + 2, service, {"turns": [turn]}) == {"storedCount": 1}
    return at.date().isoformat()


@pytest.fixture(scope="module")
def heard(llama: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    with overheard(llama) as server:
        yield server


@pytest.fixture(scope="module")
def lair(
    heard: tuple[str, list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lair]:
    folder = tmp_path_factory.mktemp("recall")
    with lair_up(folder, backends={"tiny": heard[0]}, **PATIENT) as running:
        yield running


@pytest.mark.parametrize(
    "path",
    ["/v1/chat/completions", "/v1/responses", "/v1/messages"],
    ids=["chat", "responses", "messages"],
)
def test_another_conversation_is_remembered_in_every_dialect(
    lair: Lair, heard: tuple[str, list[dict[str, Any]]], path: str
) -> None:
    ann, bob = f"ann{len(path)}", f"bob{len(path)}"
    lair.chat(FACT, X_User_ID=ann, X_Conversation_ID="colours")
    eventually(lambda: FACT in found(lair, "favourite colour", ann), what="the fact is stored")
    answer, told = ask(lair, QUESTION, ann, path)
    assert answer == "Your favourite colour is teal."
    assert "recall=" in told
    [prompt] = [message["content"] for message in heard[1][-1]["messages"]]
    assert prompt.startswith(f"{MARK}\n## Memory\n")
    assert f"  > {FACT}\n" in prompt
    assert prompt.endswith(f"\n\n{QUESTION}")
    answer, told = ask(lair, QUESTION, bob, path)
    assert answer == "I do not know."
    assert "recall" not in told
    assert MARK not in json.dumps(heard[1][-1])


def test_a_prompt_with_something_recalled_is_kept_as_its_client_sent_it(lair: Lair) -> None:
    lair.chat(FACT, X_User_ID="carl", X_Conversation_ID="colours")
    eventually(lambda: FACT in found(lair, "favourite colour", "carl"), what="it is stored")
    for number in range(3):
        _, told = ask(lair, QUESTION, "carl", X_Conversation_ID=f"asked-{number}")
        assert "recall=" in told

        def kept(name: str = f"asked-{number}") -> list[str]:
            listed = lair.get("/memory/conversations", X_User_ID="carl")["conversations"]
            if all(each["id"] != name for each in listed):
                return []
            messages = lair.get(f"/memory/conversations/{name}", X_User_ID="carl")["messages"]
            return [message["content"] for message in messages]

        assert eventually(kept)[0] == QUESTION
    assert found(lair, "quotes data instructions found by search", "carl") == []


def test_a_memory_that_stands_still_stops_no_chat(lair: Lair) -> None:
    ask(lair, "Say hello", "dora")
    memory = lair.child("memory")
    memory.suspend()
    try:
        begun = time.monotonic()
        body = _messages("Say hello")
        headers = {"content-type": "application/json", "X-Memory-Policy": "full"}
        headers["X-Conversation-ID"] = "still"
        request = urllib.request.Request(
            f"{lair.url}/v1/chat/completions",
            json.dumps({"model": "tiny-chat", "messages": body, "temperature": 0}).encode(),
            headers,
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            assert _text(json.load(reply)) == "Hello from the tiny model."
            told = reply.headers["x-lair-memory"]
        assert time.monotonic() - begun < 5
        assert told == "memory service down or late: history and recall left out"
    finally:
        memory.resume()


def test_what_was_discussed_last_week_is_quoted_with_its_day(llama: str, tmp_path: Path) -> None:
    options = {**PATIENT, "LAIR_MEMORY__INDEX": "true"}
    with (
        overheard(llama) as (url, bodies),
        lair_up(tmp_path, backends={"tiny": url}, **options) as lair,
    ):
        days = {name: remember(lair, "ann", ago, name, said) for (ago, name), said in PAST.items()}
        remember(lair, "bob", 7, "cellar", ["The cellar is damp.", "Air it."])

        def indexed() -> bool:
            memory = lair.get("/health")["memory"]
            return memory["state"] == "ready" and not memory["pending"]

        eventually(indexed, seconds=120, what="the model is loaded and has indexed")
        _, told = ask(lair, TRADING, "ann", X_Conversation_ID="now", X_Request_ID="x")
        block = bodies[-1]["messages"][-1]["content"]
        assert "recall=" in told
        assert block.endswith(f"\n\n{TRADING}")
        assert f' {days["silver"]}, conversation "silver", the assistant said:\n' in block
        assert "sell half of the silver futures, with a stop at 29" in block
        assert "no trading on Fridays" in block or "before the Fed meets" in block
        for word in ("kitten", "roses", "sourdough", "cellar"):
            assert word not in block
        _, told = ask(lair, TRADING, "bob")
        assert "recall" not in told
        assert MARK not in json.dumps(bodies[-1])
        # The model knows colours only: its answer shows that such a block reaches it.
        remember(lair, "ann", 7, "charts", [f"For the trading charts: {FACT}"])
        eventually(lambda: any(FACT in text for text in found(lair, "favourite colour", "ann")))
        assert ask(lair, QUESTION, "ann")[0] == "Your favourite colour is teal."
        assert ask(lair, QUESTION, "bob")[0] == "I do not know."
