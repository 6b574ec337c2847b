"""What was said in other conversations reaches the prompt of a genuine model, of its owner only."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.e2e.stack import Lair, eventually, get, lair_up
from tests.e2e.test_grpc import call

QUESTION = "What is my favourite colour?"
FACT = "My favourite colour is teal."
TRADING = "What did we discuss last week about trading?"
PATIENT = {"LAIR_MEMORY__RECALL_TIMEOUT_MS": "10000"}
MARK = "<lair-memory>"
# The embedding model is exported first, which takes a busy machine minutes.
PATIENCE_SECONDS = 280.0
# By days ago and conversation: what the user and the assistant said in turn.
PAST = {
    (70, "brokers"): ["Which broker is cheapest for trading options?", "Compare their fees."],
    (35, "oil"): [
        "A trading idea: buy oil futures before the winter.",
        "For your trading plan: buy oil at 70, with a stop at 66.",
        "Let us discuss trading gas next time.",
    ],
    (30, "garden"): ["When should I prune the roses?", "In late winter, before they bud."],
    (28, "old charts"): ["For the trading charts: My favourite colour is red.", "Noted."],
    (14, "bread"): ["My sourdough does not rise.", "Feed the starter twice a day."],
    (7, "silver"): [
        "About trading: should I sell the silver futures before the Fed meets?",
        "For your trading plan: sell half of the silver futures, with a stop at 29.",
        "Agreed. And no trading on Fridays from now on.",
    ],
    (7, "charts"): ["For the trading charts: My favourite colour is teal.", "Noted."],
    (7, "cinema"): ["Which film should we watch tonight?", "Casablanca, again."],
    (1, "kitten"): ["We adopted a kitten from the shelter.", "How lovely!"],
    (0, "fees"): ["What are the trading fees of my broker?", "One euro an order."],
}
COLOUR_QUESTION = "What did we say last week about the trading charts? What is my favourite colour?"


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
    return asked(lair, text, user, path, **named)[:2]


def asked(
    lair: Lair, text: str, user: str, path: str = "/v1/chat/completions", **named: str
) -> tuple[str, str, str]:
    """Ask with memory on; return the answer, what is told of memory, and the request's id."""
    said = {"input": text} if path.endswith("responses") else {"messages": _messages(text)}
    body = {"model": "tiny-chat", "temperature": 0, "max_tokens": 60, **said}
    headers = {"content-type": "application/json", "X-Enable-Memory": "true", "X-User-ID": user}
    headers |= {name.replace("_", "-"): value for name, value in named.items()}
    request = urllib.request.Request(lair.url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as reply:
        told, request_id = reply.headers["x-lair-memory"], reply.headers["x-request-id"]
        return _text(json.load(reply)), told, request_id


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


# -- a past of many weeks, a real embedder, a genuine model ------------------------


@pytest.fixture(scope="module")
def weeks(
    heard: tuple[str, list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Lair, dict[str, str]]]:
    """Run a lair that knows the past of Ann, and the days of her conversations."""
    options = {**PATIENT, "LAIR_MEMORY__INDEX": "true"}
    folder = tmp_path_factory.mktemp("weeks")
    with lair_up(folder, backends={"tiny": heard[0]}, **options) as lair:
        days = {name: remember(lair, "ann", ago, name, said) for (ago, name), said in PAST.items()}
        for question in (TRADING, COLOUR_QUESTION):
            remember(lair, f"bob-{question}", 7, "cellar", ["The cellar is damp.", "Air it."])

        def indexed() -> bool:
            memory = lair.get("/health")["memory"]
            return memory["state"] == "ready" and not memory["pending"]

        eventually(indexed, seconds=PATIENCE_SECONDS, what="the model is loaded and has indexed")
        yield lair, days


@pytest.mark.timeout(2 * PATIENCE_SECONDS)
def test_what_was_discussed_last_week_is_quoted_with_its_day(
    weeks: tuple[Lair, dict[str, str]], heard: tuple[str, list[dict[str, Any]]]
) -> None:
    (lair, days), bodies = weeks, heard[1]
    _, told, request_id = asked(lair, TRADING, "ann", X_Conversation_ID="now")
    assert told == "history=0, recall=3"
    [prompt] = [message["content"] for message in bodies[-1]["messages"]]
    weekday = f"{datetime.fromisoformat(days['silver']):%A}"
    speakers = ("user", "assistant", "user")
    quotes = [
        f'- {weekday} {days["silver"]}, conversation "silver", the {speaker} said:\n  > {text}\n'
        for speaker, text in zip(speakers, PAST[7, "silver"], strict=True)
    ]
    head, *rest = prompt.splitlines(keepends=True)
    assert head == f"{MARK}\n"
    assert "".join(rest[2:]) == f"{''.join(quotes)}</lair-memory>\n\n{TRADING}"
    told_why = lair.get(f"/memory/recalls/{request_id}", X_User_ID="ann")
    assert told_why["query"] == TRADING
    assert f"{told_why['context']}\n\n{TRADING}" == prompt
    found = [passage["conversation_id"] for passage in told_why["candidates"]]
    assert found[:3] == ["silver"] * 3
    assert {"cinema", "kitten", "garden", "bread"}.isdisjoint(found)
    for passage in told_why["candidates"]:
        assert passage["created_at"].startswith(days[passage["conversation_id"]])
    status, _ = get(f"{lair.url}/memory/recalls/{request_id}", {"X-User-ID": "bob"})
    assert status == 404


@pytest.mark.timeout(2 * PATIENCE_SECONDS)
def test_the_answer_is_that_of_the_week_that_is_asked_about(
    weeks: tuple[Lair, dict[str, str]], heard: tuple[str, list[dict[str, Any]]]
) -> None:
    """A month ago the favourite colour was another one: the model would tell either."""
    (lair, _), bodies = weeks, heard[1]
    answer, _, _ = asked(lair, COLOUR_QUESTION, "ann", X_Conversation_ID="colours")
    prompt = bodies[-1]["messages"][-1]["content"]
    assert "  > For the trading charts: My favourite colour is teal.\n" in prompt
    assert "colour is red" not in prompt
    assert answer == "Your favourite colour is teal."


@pytest.mark.timeout(2 * PATIENCE_SECONDS)
@pytest.mark.parametrize("question", [TRADING, COLOUR_QUESTION])
def test_another_user_gets_nothing_of_it(
    weeks: tuple[Lair, dict[str, str]],
    heard: tuple[str, list[dict[str, Any]]],
    question: str,
) -> None:
    (lair, _), bodies = weeks, heard[1]
    user = f"bob-{question}"
    answer, told, _ = asked(lair, question, user, X_Conversation_ID="bobs")
    assert "recall" not in told
    for words in (MARK, "silver", "teal", "oil"):
        assert words not in json.dumps(bodies[-1])
    assert "teal" not in answer
    anns = {text for texts in PAST.values() for text in texts}
    assert anns.isdisjoint(found(lair, TRADING, user))
