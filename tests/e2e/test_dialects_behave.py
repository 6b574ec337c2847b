"""The behaviours of clients again, by Anthropic's messages, by responses, and without an id.

`test_client_behaviours.py` has all eight by chat completions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.scripted import Backend, Failing, Messages, Person, Tree, said, scripted_backend
from tests.e2e.stack import Lair, lair_up

SYSTEM = {"role": "system", "content": "Be brief."}
CALL = {"name": "look", "arguments": '{"at":   "sky"}'}
CALLS = [{"id": "t1", "type": "function", "function": CALL}]
PICTURE = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
EPHEMERAL = {"cache_control": {"type": "ephemeral"}}


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with scripted_backend() as running:
        yield running


@pytest.fixture(scope="module")
def lair(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lair]:
    with lair_up(
        tmp_path_factory.mktemp("dialects"),
        backends={"scripted": backend.url},
        LAIR_ROUTER__MEMORY_TIMEOUT_MS="10000",
    ) as running:
        yield running


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def streamed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def ann(lair: Lair, backend: Backend) -> Person:
    return Person(lair, backend, f"ann-{uuid4().hex}")


def path(*texts: str) -> list[str]:
    return [f"{'ua'[n % 2]}: {text}" for n, text in enumerate(texts)]


# -- Anthropic's messages --------------------------------------------------------


class Claude:
    """Ann, who speaks Anthropic's dialect."""

    def __init__(self, ann: Person, *, streamed: bool) -> None:
        self.ann = ann
        self._streamed = streamed

    def say(self, messages: Messages, answer: Any, **more: Any) -> None:
        body = {"messages": messages, "max_tokens": 50, "stream": self._streamed, **more}
        self.ann.send("/v1/messages", body, answer, X_Conversation_ID="talk")


@pytest.fixture
def claude(ann: Person, streamed: bool) -> Claude:
    return Claude(ann, streamed=streamed)


def test_messages_are_resent_edited_answered_again_and_dropped(claude: Claude) -> None:
    claude.say(said("one"), "1", system="Be brief.")
    claude.say(said("one", "1", "two"), "2", system="Be brief. Today is Tuesday.")
    claude.say(said("one", "1", "two"), "II")
    claude.say(said("one", "1", "zwei"), "Z", system="Be brief.")
    assert claude.ann.backend.prompt == [SYSTEM, *said("one", "1", "zwei")]
    claude.say(said("zwei", "Z", "drei"), "D", system="Be brief.")
    assert claude.ann.backend.prompt == [SYSTEM, *said("zwei", "Z", "drei")]
    others = [path("one", "1", "two", "2"), path("one", "1", "two", "II")]
    assert claude.ann.tree() == Tree(path("one", "1", "zwei", "Z", "drei", "D"), others, 9)


def test_a_tool_loop_whose_cache_marks_move_is_one_path(claude: Claude) -> None:
    """Claude Code marks the end of each prompt, and writes arguments its own way."""
    tool = {"name": "look", "input_schema": {"type": "object"}}
    picture = {"type": "image", "source": PICTURE}
    text = {"type": "text", "text": "Look."}
    use = {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "sky"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "blue"}

    def user(*blocks: dict[str, Any]) -> dict[str, Any]:
        return {"role": "user", "content": list(blocks)}

    asked = {"role": "assistant", "content": [use]}
    claude.say([user(text, picture | EPHEMERAL)], {"tool_calls": CALLS}, tools=[tool])
    first = user(text, picture)
    claude.say([first, asked, user(result | EPHEMERAL)], "Blue.", tools=[tool])
    more = [*said("Blue.", begin="assistant"), user({"type": "text", "text": "Sure?"} | EPHEMERAL)]
    claude.say([first, asked, user(result), *more], "Yes.", tools=[tool])
    texts = ["u: Look. + image_url", f"a: look{CALL['arguments']}", "t: blue"]
    texts += ["a: Blue.", "u: Sure?", "a: Yes."]
    assert claude.ann.tree() == Tree(texts, [], 6)


# -- responses -------------------------------------------------------------------


class Codex:
    """Ann, who speaks the dialect of responses."""

    def __init__(self, ann: Person, *, streamed: bool) -> None:
        self.ann = ann
        self._streamed = streamed

    def say(self, text: Any, answer: Any, after: str = "", **more: Any) -> str:
        """Return the response's id."""
        body = {"input": text, "stream": self._streamed, **more}
        if after:
            body["previous_response_id"] = after
        reply = self.ann.send("/v1/responses", body, answer)
        if self._streamed:
            last = [line for line in reply.splitlines() if line.startswith("data: {")][-1]
            reply = json.dumps(json.loads(last.removeprefix("data: "))["response"])
        response = json.loads(reply)
        self.ann.conversation = response.get("conversation", {}).get("id") or self.found()
        return str(response["id"])

    def found(self) -> str:
        """Return the one conversation that Ann has."""
        turns = self.ann.stored_turns()
        [name] = {turn.conversation_id for turn in turns}
        return name

    @property
    def prompt(self) -> Messages:
        return self.ann.backend.prompt


@pytest.fixture
def codex(ann: Person, streamed: bool) -> Codex:
    return Codex(ann, streamed=streamed)


def test_a_response_follows_the_one_it_names(codex: Codex) -> None:
    first = codex.say("one", "1", instructions="Be brief.")
    assert codex.prompt == [SYSTEM, *said("one")]
    second = codex.say("two", "2", first)
    assert codex.prompt == said("one", "1", "two")
    codex.say("two", "II", first)  # answered again
    assert codex.prompt == said("one", "1", "two")
    codex.say("zwei", "Z", first)  # edited
    assert codex.prompt == said("one", "1", "zwei")
    codex.say("three", "3", second)  # back on the older branch
    assert codex.prompt == said("one", "1", "two", "2", "three")
    others = [path("one", "1", "two", "II"), path("one", "1", "zwei", "Z")]
    assert codex.ann.tree() == Tree(path("one", "1", "two", "2", "three", "3"), others, 9)


def test_a_tool_loop_of_responses(codex: Codex) -> None:
    tool = {"type": "function", "name": "look", "parameters": {"type": "object"}}
    first = codex.say("Look.", {"tool_calls": CALLS}, tools=[tool])
    result = {"type": "function_call_output", "call_id": "t1", "output": "blue"}
    second = codex.say([result], "Blue.", first, tools=[tool])
    assert [message["role"] for message in codex.prompt] == ["user", "assistant", "tool"]
    codex.say("Sure?", "Yes.", second)
    texts = [
        "u: Look.",
        f"a: look{CALL['arguments']}",
        "t: blue",
        "a: Blue.",
        "u: Sure?",
        "a: Yes.",
    ]
    assert codex.ann.tree() == Tree(texts, [], 6)


def test_a_conversation_of_responses_is_resent_only_once(codex: Codex) -> None:
    """Some clients send all items again although they name a conversation."""
    codex.ann.conversation = "conv_talk"
    body = {"conversation": "conv_talk", "stream": False}
    codex.ann.send("/v1/responses", {**body, "input": "one"}, "1")
    codex.ann.send("/v1/responses", {**body, "input": "two"}, "2")
    assert codex.prompt == said("one", "1", "two")
    items = said("one", "1", "two", "2", "three")
    codex.ann.send("/v1/responses", {**body, "input": items}, "3")
    assert codex.prompt == items
    told = path("one", "1", "two", "2", "three", "3")
    assert codex.ann.tree() == Tree(told, [], 6)


def test_a_response_that_broke_off_is_tried_again(ann: Person) -> None:
    codex = Codex(ann, streamed=True)
    first = codex.say("one", "1")
    ann.send(
        "/v1/responses",
        {"input": "two", "previous_response_id": first, "stream": True},
        Failing(text="so f"),
    )
    codex.say("two", "2", first)
    assert codex.prompt == said("one", "1", "two")
    assert ann.tree() == Tree(path("one", "1", "two", "2"), [path("one", "1", "two", "so f")], 5)


# -- chats that are kept without a conversation's id ------------------------------


def test_a_chat_without_an_id_is_one_conversation_however_it_is_sent(
    ann: Person, streamed: bool
) -> None:
    def say(messages: Messages, answer: str) -> str:
        body = {"messages": messages, "stream": streamed}
        ann.send("/v1/chat/completions", body, answer, X_Memory_Policy="store")
        assert ann.backend.prompt == messages
        [name] = {turn.conversation_id for turn in ann.stored_turns()}
        return name

    say([SYSTEM, *said("one")], "1")
    say(said("one", "1", "two"), "2")
    say(said("one", "1", "two"), "II")
    say([SYSTEM, *said("two", "II", "three")], "3")  # the oldest are gone
    name = say([SYSTEM, *said("II", "three", "3", "four", begin="assistant")], "4")
    told = path("one", "1", "two", "II", "three", "3", "four", "4")
    assert ann.tree(name) == Tree(told, [path("one", "1", "two", "2")], 9)
