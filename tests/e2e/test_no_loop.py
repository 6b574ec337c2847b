"""What lair itself puts in or makes never becomes memory: recall does not feed on itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.e2e.scripted import Backend, Messages, Person, said, scripted_backend
from tests.e2e.stack import Lair, lair_up, request

MARK = "<lair-memory>"
FACT = "My sailing boat is called Calypso."
QUESTION = "What is my sailing boat called?"
FULL = {"X_Enable_Memory": "true"}


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with scripted_backend() as running:
        yield running


@pytest.fixture(scope="module")
def lair(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lair]:
    patient = {"LAIR_MEMORY__RECALL_TIMEOUT_MS": "10000", "LAIR_ROUTER__MEMORY_TIMEOUT_MS": "10000"}
    folder = tmp_path_factory.mktemp("loop")
    with lair_up(folder, backends={"scripted": backend.url}, **patient) as running:
        yield running


@pytest.fixture
def sailor(lair: Lair, backend: Backend) -> Person:
    person = Person(lair, backend, f"sailor-{uuid4().hex}")
    person.conversation = "boats"
    person.chat(said(FACT), "A fine name.")
    person.stored_turns()
    return person


def found(person: Person, words: str) -> list[str]:
    path = f"/memory/search?limit=50&q={quote(words)}"
    passages = person.lair.get(path, X_User_ID=person.name)["passages"]
    return [passage["text"] for passage in passages]


def searched_count(person: Person) -> int:
    stats = person.lair.get("/memory/stats", X_User_ID=person.name)
    return int(stats["messages"])


def test_a_question_asked_again_and_again_adds_itself_and_its_answer_only(sailor: Person) -> None:
    for number in range(12):
        sailor.conversation = f"asked-{number}"
        sailor.chat(said(f"{QUESTION} ({number})"), f"Calypso, for the {number}th time.", **FULL)
        assert MARK in sailor.backend.prompt[0]["content"]
        assert sailor.tree().active == [
            f"u: {QUESTION} ({number})",
            f"a: Calypso, for the {number}th time.",
        ]
    assert searched_count(sailor) == 2 + 2 * 12
    assert found(sailor, "quotes earlier conversations data instructions follow") == []
    for turn in sailor.stored_turns():
        assert MARK not in str(turn)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_block_that_comes_back_is_cut_out(sailor: Person, stream: bool) -> None:
    """A model repeats its prompt, a client keeps what was sent upstream."""
    sailor.conversation = "asked"
    sailor.chat(said(QUESTION), "Calypso.", **FULL)
    block = sailor.backend.prompt[0]["content"].removesuffix(QUESTION)
    sailor.conversation = "echo"
    sailor.chat(said(f"{block}{QUESTION}"), f"You gave me:\n{block}\nCalypso.", stream=stream)
    tree = sailor.tree()
    assert tree.active == [f"u: {QUESTION}", "a: You gave me:\nCalypso."]
    sailor.chat(said(f"{block}{QUESTION}", f"You gave me:\n{block}\nCalypso.", "And now?"), "Sail!")
    assert sailor.tree().active == [*tree.active, "u: And now?", "a: Sail!"]
    assert all(MARK not in text for text in found(sailor, "sailing boat called Calypso"))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_answer_of_lair_itself_is_never_found(sailor: Person, stream: bool) -> None:
    def ask(messages: Messages, **more: Any) -> str:
        body = {"model": "lair/recall", "messages": messages, "stream": stream, **more}
        headers = {"X-User-ID": sailor.name, "X-Conversation-ID": "recalled"}
        headers["X-Enable-Memory"] = "true"
        status, reply = request("POST", f"{sailor.lair.url}/v1/chat/completions", body, headers)
        assert status == 200
        sailor.turns += 1
        return _text(reply)

    sailor.conversation = "recalled"
    answer = ask(said(QUESTION))
    assert FACT in answer
    assert sailor.tree().active[-1] == f"a: {answer}"
    before = found(sailor, "sailing boat called Calypso")
    ask(said(QUESTION, answer, "What else of my sailing boat?"))
    sailor.chat(said("Edited: my boat?", answer, "Do you know more of my boat?"), "No.")
    sailor.stored_turns()
    after = found(sailor, "sailing boat called Calypso")
    assert {FACT, QUESTION} <= set(before)
    assert answer not in after
    assert not [text for text in after if FACT in text and text != FACT]


def _text(reply: Any) -> str:
    if isinstance(reply, dict):
        return str(reply["choices"][0]["message"]["content"])
    lines = [line.removeprefix("data: ") for line in reply.splitlines() if line[:6] == "data: "]
    chunks = [json.loads(line) for line in lines if line != "[DONE]"]
    return "".join(
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]
    )


def test_a_title_is_not_searched(sailor: Person) -> None:
    change = {"title": "Xylophones and marimbas"}
    path = f"{sailor.lair.url}/memory/conversations/boats"
    status, changed = request("PATCH", path, change, {"X-User-ID": sailor.name})
    assert (status, changed["title"]) == (200, change["title"])
    assert found(sailor, "xylophones marimbas") == []
    sailor.chat(said(FACT, "A fine name.", "It has two masts."), "Splendid.")
    sailor.stored_turns()
    told = sailor.lair.get("/memory/conversations/boats", X_User_ID=sailor.name)
    assert told["title"] == change["title"]
