"""The three modes, and the memory policies of key, project, header and model, by HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.scripted import Backend, Person, said, scripted_backend
from tests.e2e.stack import Lair, eventually, free_ports, lair_environment, lair_up

MARK = "<lair-memory>"
PATIENT = {"LAIR_MEMORY__RECALL_TIMEOUT_MS": "10000", "LAIR_ROUTER__MEMORY_TIMEOUT_MS": "10000"}
PROJECTS = {name: {"memory_policy": name} for name in ("off", "store", "recall", "full")}
FACT = "My sailing boat is called Calypso."
CHAT = {"messages": said("one")}
QUESTION = "What is my sailing boat called?"


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with scripted_backend() as running:
        yield running


@pytest.fixture(scope="module")
def lair(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lair]:
    folder = tmp_path_factory.mktemp("modes")
    settings = {**PATIENT, "LAIR_PROJECTS": json.dumps(PROJECTS)}
    with lair_up(folder, backends={"scripted": backend.url}, **settings) as running:
        yield running


@pytest.fixture
def ann(lair: Lair, backend: Backend) -> Person:
    return Person(lair, backend, f"ann-{uuid4().hex}")


def ask(person: Person, text: str, answer: str, **named: str) -> None:
    """Send one message with some headers, and no more."""
    person.send("/v1/chat/completions", {"messages": said(text)}, answer, **named)


def titles(person: Person) -> list[str]:
    listed = person.lair.get("/memory/conversations", X_User_ID=person.name)
    return sorted(each["title"] for each in listed["conversations"])


def stored_bytes(lair: Lair) -> bytes:
    """Return every file of the data directory, and the log."""
    files = [path for path in (lair.log.parent / "data").rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in [*files, lair.log])


# -- the three modes -------------------------------------------------------------


def test_stateless_a_chat_is_counted_and_leaves_no_word(ann: Person) -> None:
    question, answer = f"Hello {uuid4().hex}!", f"Hello {uuid4().hex}, too!"
    ask(ann, question, answer)
    assert ann.backend.prompt == said(question)
    assert ann.told == "off"

    def counted() -> list[dict[str, Any]]:
        records = ann.lair.get("/metrics/recent")["requests"]
        return [record for record in records if record["user_id"] == ann.name]

    [record] = eventually(counted, what="the request is counted")
    assert (record["status"], record["conversation_id"]) == ("ok", "")
    ask(ann, "And now?", "I know of nothing.")
    assert ann.backend.prompt == said("And now?")
    ann.turns = 0
    assert ann.stored_turns() == []
    assert titles(ann) == []
    for text in (question, answer, question[6:38], answer[6:38]):
        assert text.encode() not in stored_bytes(ann.lair)


def test_stateful_a_conversation_goes_on_by_its_id_until_its_client_ends_it(ann: Person) -> None:
    named = {"X_Conversation_ID": "conv-abc123"}
    ask(ann, "Let us discuss boats.", "Gladly.", **named)
    ask(ann, "Continue our discussion", "Sails come first.", **named)
    assert ann.backend.prompt == said("Let us discuss boats.", "Gladly.", "Continue our discussion")
    assert ann.told == "history=2"
    ann.stored_turns()
    told = ann.lair.get("/memory/conversations/conv-abc123", X_User_ID=ann.name)
    assert told["title"] == "Let us discuss boats."
    assert [message["content"] for message in told["messages"]] == [
        *("Let us discuss boats.", "Gladly.", "Continue our discussion", "Sails come first.")
    ]
    forget = urllib.request.Request(
        f"{ann.lair.url}/memory/conversations/conv-abc123",
        headers={"X-User-ID": ann.name},
        method="DELETE",
    )
    urllib.request.urlopen(forget, timeout=30).close()
    assert titles(ann) == []
    ask(ann, "Where were we?", "I do not know.", **named)
    assert ann.backend.prompt == said("Where were we?")


def test_auto_recall_finds_what_was_said_elsewhere_and_keeps_the_chat(ann: Person) -> None:
    asked = {"X_Enable_Memory": "true"}
    ask(ann, FACT, "A fine name.", **asked)
    ann.stored_turns()
    ask(ann, QUESTION, "Calypso.", **asked)
    [message] = ann.backend.prompt
    assert message["content"].startswith(f"{MARK}\n")
    assert f"\n  > {FACT}\n" in message["content"]
    assert message["content"].endswith(f"\n\n{QUESTION}")
    assert ann.told == "recall=2, meaning: indexing is off"
    ann.stored_turns()
    assert titles(ann) == [FACT, QUESTION]
    bob = Person(ann.lair, ann.backend, f"bob-{uuid4().hex}")
    ask(bob, QUESTION, "I do not know.", **asked)
    assert bob.backend.prompt == said(QUESTION)
    assert "recall=" not in bob.told


# -- policies --------------------------------------------------------------------


def effect(person: Person, **named: str) -> tuple[bool, bool]:
    """Ask with some headers; return whether that was kept, and whether recall took place."""
    model = named.pop("model", "scripted")
    sent = {"messages": said(QUESTION), "model": model}
    person.send("/v1/chat/completions", sent, "Calypso.", **named)
    recalled = MARK in json.dumps(person.backend.prompt)
    kept = bool(person.kept_in)
    person.turns -= not kept
    person.stored_turns()
    return kept, recalled


EFFECTS = {
    "off": (False, False),
    "store": (True, False),
    "recall": (False, True),
    "full": (True, True),
}


@pytest.fixture
def sailor(ann: Person) -> Person:
    """Somebody who said something worth recalling."""
    ask(ann, FACT, "A fine name.", X_Memory_Policy="store")
    ann.stored_turns()
    return ann


@pytest.mark.parametrize("policy", EFFECTS)
def test_a_header_says_what_memory_does(sailor: Person, policy: str) -> None:
    assert effect(sailor, X_Memory_Policy=policy) == EFFECTS[policy]


@pytest.mark.parametrize("policy", EFFECTS)
def test_a_project_does_where_the_request_does_not(sailor: Person, policy: str) -> None:
    assert effect(sailor, X_Project=policy) == EFFECTS[policy]


@pytest.mark.parametrize(
    ("project", "sent", "does"),
    [
        ("store", {"X_Memory_Policy": "full"}, "full"),
        ("full", {"X_Memory_Policy": "off"}, "off"),
        ("full", {"X_Enable_Memory": "false"}, "off"),
        ("store", {"model": "scripted:memory"}, "full"),
        ("elsewhere", {"model": "scripted:memory"}, "full"),
        ("elsewhere", {}, "off"),
    ],
)
def test_a_request_may_say_otherwise(
    sailor: Person, project: str, sent: dict[str, str], does: str
) -> None:
    assert effect(sailor, X_Project=project, **sent) == EFFECTS[does]


@pytest.mark.parametrize(
    "sent",
    [
        {"X_Memory_Policy": "full"},
        {"X_Enable_Memory": "true"},
        {"X_Conversation_ID": "talk"},
        {"model": "scripted:memory"},
    ],
    ids=["policy", "flag", "conversation", "model"],
)
def test_but_not_in_a_project_without_memory(sailor: Person, sent: dict[str, str]) -> None:
    assert effect(sailor, X_Project="off", **sent) == (False, False)
    assert sailor.told == "off: the project's memory policy"


def test_nor_do_responses_of_such_a_project_have_a_past(sailor: Person) -> None:
    sailor.turns -= 1  # what comes is not kept
    reply = sailor.send("/v1/responses", {"input": "one"}, "1", X_Project="off")
    sailor.stored_turns()
    body = {"input": "two", "previous_response_id": json.loads(reply)["id"]}
    asked = urllib.request.Request(
        f"{sailor.lair.url}/v1/responses",
        json.dumps({"model": "scripted", **body}).encode(),
        {"content-type": "application/json", "X-User-ID": sailor.name, "X-Project": "off"},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(asked, timeout=30)
    with caught.value as refused:
        assert (refused.code, "previous_response_not_found" in str(refused.read())) == (400, True)


def create_key(folder: Path, name: str, *options: str) -> str:
    """Make a key of the lair whose data is in `folder`; return its secret."""
    command = [sys.executable, "-m", "launcher", "keys", "create", name, "--any-user", "--json"]
    command += ["--data-dir", str(folder / "data"), *options]
    made = subprocess.run(
        command, capture_output=True, text=True, env=lair_environment(), timeout=60, check=True
    )
    return str(json.loads(made.stdout)["key"])


def test_of_key_and_project_stands_what_both_allow(backend: Backend, tmp_path: Path) -> None:
    settings = {**PATIENT, "LAIR_PROJECTS": json.dumps(PROJECTS)}
    keys = {policy: create_key(tmp_path, policy, "--memory", policy) for policy in PROJECTS}
    with lair_up(tmp_path, backends={"scripted": backend.url}, **settings) as lair:
        sailor = Person(lair, backend, "ann")
        ask(sailor, FACT, "A fine name.", X_API_Key=keys["store"])
        sailor.stored_turns()

        def with_key(policy: str, **named: str) -> tuple[bool, bool]:
            return effect(sailor, X_API_Key=keys[policy], **named)

        for policy in PROJECTS:
            assert with_key(policy) == EFFECTS[policy]
        assert with_key("full", X_Project="store") == EFFECTS["store"]
        assert with_key("recall", X_Project="full") == EFFECTS["recall"]
        assert with_key("store", X_Project="recall") == EFFECTS["off"]
        assert with_key("store", X_Project="recall", X_Memory_Policy="full") == EFFECTS["full"]
        assert with_key("off", X_Project="full", X_Memory_Policy="full") == EFFECTS["off"]
        assert sailor.told == "off: the key's memory policy"
        assert with_key("full", X_Project="off", X_Memory_Policy="full") == EFFECTS["off"]
        assert sailor.told == "off: the project's memory policy"


# -- without memory --------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_memory_that_is_down_stops_no_chat_and_is_told(
    backend: Backend, tmp_path_factory: pytest.TempPathFactory, stream: bool
) -> None:
    nowhere = f"127.0.0.1:{free_ports(1)}"
    with lair_up(
        tmp_path_factory.mktemp("down"),
        backends={"scripted": backend.url},
        LAIR_MEMORY__ADDRESS=nowhere,
    ) as lair:
        ann = Person(lair, backend, "ann")
        talk, recall = {"X_Conversation_ID": "conv_talk"}, {"X_Enable_Memory": "true"}
        for path, body, named, told in (
            ("/v1/chat/completions", CHAT, talk, "history"),
            ("/v1/chat/completions", CHAT, recall, "recall"),
            ("/v1/chat/completions", CHAT, talk | recall, "history and recall"),
            ("/v1/messages", CHAT | {"max_tokens": 9}, talk, "history"),
            ("/v1/messages", CHAT | {"max_tokens": 9}, recall, "recall"),
            ("/v1/responses", {"input": "one"}, {}, "history"),
            ("/v1/responses", {"input": "one"}, recall, "history and recall"),
        ):
            ann.send(path, {**body, "stream": stream}, "1", **named)
            assert ann.backend.prompt == said("one")
            assert ann.told == f"memory service down or late: {told} left out"
