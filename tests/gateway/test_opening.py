"""How a chat begins: the folder an agent works in, and which chat it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.opening import fingerprint, working_folder
from gateway.sessions import PAUSE_SECONDS, Sessions
from lair.common.v1.chat_pb2 import ContentPart, ContentParts, ImageUrl, Message
from lair.router.v1.chat_pb2 import ChatCall

OPENCODE = (
    "You are powered by a model.\n<env>\n  Working directory: {}\n  Is directory a git repo: no\n"
)
CODEX = "<environment_context>\n  <cwd>{}</cwd>\n  <shell>bash</shell>\n</environment_context>"
CLAUDE = "# Environment\n - Primary working directory: {}\n - Platform: linux\n"


def said(text: str, role: str = "user") -> Message:
    return Message(role=role, text=text)


def in_parts(*texts: str) -> Message:
    parts = [ContentPart(type="text", text=text) for text in texts]
    picture = ContentPart(type="image_url", image_url=ImageUrl(url="data:,<cwd>/no</cwd>"))
    return Message(role="user", parts=ContentParts(parts=[picture, *parts]))


def chat(*messages: Message) -> ChatCall:
    return ChatCall(messages=messages)


# -- folders -------------------------------------------------------------------


@pytest.mark.parametrize("prompt", [OPENCODE, CODEX, CLAUDE])
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/home/ann/work/lair", "lair"),
        ("/home/ann/my project/", "my project"),
        ("C:\\Users\\ann\\lair", "lair"),
        ("C:/Users/ann/lair", "lair"),
        ("~/code/lair", "lair"),
        ("`/srv/lair`", "lair"),
        ("/", ""),
        ("~", ""),
        ("the folder it runs in", ""),
    ],
)
def test_agents_tell_where_they_work(prompt: str, path: str, name: str):
    text = prompt.format(path)
    assert working_folder(chat(said(text, "system"), said("hi"))) == name
    assert working_folder(chat(said("be brief", "developer"), in_parts("hi", text))) == name


def test_a_mark_without_a_path_does_not_hide_the_next():
    text = "Say 'Working directory: ' and\n" + OPENCODE.format("/a/b")
    assert working_folder(chat(said(text))) == "b"


def test_only_what_stands_in_front_of_the_first_answer_is_searched():
    answered = [said("hi"), said("hello", "assistant"), said(CODEX.format("/a/b"))]
    assert working_folder(chat(*answered)) == ""
    assert working_folder(chat(said("hi"), said(CODEX.format("/a/b")))) == "b"


def test_only_the_beginning_of_a_long_prompt_is_searched():
    near, far = "x" * 60_000, "x" * 66_000
    assert working_folder(chat(said(near + CODEX.format("/a/b")))) == "b"
    assert working_folder(chat(said(far + CODEX.format("/a/b")))) == ""
    assert working_folder(chat(said(far, "system"), said(CODEX.format("/a/b")))) == ""


@given(st.text(), st.text())
def test_no_prompt_is_a_fault(system: str, first: str):
    marked = chat(said(f"{system}<cwd>{first}", "system"), said(f"orking directory: {first}"))
    assert isinstance(working_folder(marked), str)
    fingerprint(marked)


# -- fingerprints --------------------------------------------------------------

BEGIN = (said("be brief", "system"), said("hi"))


def test_a_chat_stays_the_same_while_it_goes_on():
    first = fingerprint(chat(*BEGIN), "k", "ann", "curl")
    later = chat(*BEGIN, said("hello", "assistant"), said("and now?"))
    assert fingerprint(later, "k", "ann", "curl") == first


@pytest.mark.parametrize(
    "other",
    [
        chat(said("be long", "system"), said("hi")),
        chat(said("be brief", "system"), said("hi!")),
        chat(said("be brief", "developer"), said("", "system"), said("h", "system"), said("i")),
        chat(said("hi")),
    ],
    ids=["system prompt", "first message", "other messages", "no system prompt"],
)
def test_another_beginning_is_another_chat(other: ChatCall):
    assert fingerprint(other, "k", "ann", "curl") != fingerprint(chat(*BEGIN), "k", "ann", "curl")


def test_the_same_beginning_of_somebody_else_is_another_chat():
    owners = [("k", "ann", "curl"), ("j", "ann", "curl"), ("k", "bob", "curl"), ("k", "ann", "x")]
    owners += [("ka", "nn", "curl"), ("", "kann", "curl")]
    assert len({fingerprint(chat(*BEGIN), *owner) for owner in owners}) == len(owners)


def test_long_beginnings_are_told_apart_by_their_length():
    long = "x" * 100_000
    assert fingerprint(chat(said(long))) != fingerprint(chat(said(long + "y")))


# -- sessions ------------------------------------------------------------------


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_chat_is_one_session_until_nobody_went_on_with_it_for_half_an_hour():
    clock = Clock()
    sessions = Sessions(clock=clock)
    first = sessions.name(b"a")
    for _ in range(3):
        clock.now += PAUSE_SECONDS
        assert sessions.name(b"a") == first
    assert sessions.name(b"b") != first
    clock.now += PAUSE_SECONDS + 1
    again = sessions.name(b"a")
    # Whoever sees both ids sees that it is the same chat.
    assert again.rpartition("-")[0] == first.rpartition("-")[0]
    assert sessions.name(b"a") == again


def test_only_so_many_sessions_are_remembered_the_latest_ones():
    clock = Clock()
    sessions = Sessions(limit=2, clock=clock)
    names = {chat: sessions.name(chat) for chat in (b"a", b"b")}
    sessions.name(b"a")
    sessions.name(b"c")
    assert sessions.name(b"a") == names[b"a"]
