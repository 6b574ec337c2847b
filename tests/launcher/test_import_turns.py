"""Trees of messages as turns, and the ids that make an import repeatable."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from launcher.importing.conversation import ImportedConversation, ImportedMessage, Role
from launcher.importing.prompts import as_typed
from launcher.importing.turns import path_to, turns_of
from launcher.importing.values import time_us
from launcher.importing.wire import Owner, request_id_of, sendable

OWNER = Owner(user="ann", kind="chatgpt", at_us=1_700_000_000_000_000)
ROLES: tuple[Role, ...] = ("user", "assistant", "tool")


def said(
    key: str, parent: str | None, role: Role = "user", at_us: int | None = None
) -> ImportedMessage:
    return ImportedMessage(key=key, parent=parent, role=role, text=key, at_us=at_us)


def talk(*messages: ImportedMessage, current: str = "") -> ImportedConversation:
    return ImportedConversation(id="c", where="here", messages=messages, current=current)


@st.composite
def trees(draw: st.DrawFn) -> ImportedConversation:
    """A tree in any order, some of whose messages follow none that is there."""
    messages = []
    for number in range(draw(st.integers(1, 25))):
        parent = draw(st.sampled_from([None, "gone", *(str(n) for n in range(number))]))
        messages.append(said(str(number), parent, draw(st.sampled_from(ROLES))))
    current = draw(st.sampled_from([message.key for message in messages]))
    return talk(*draw(st.permutations(messages)), current=current)


@given(trees())
def test_every_message_is_said_where_it_stands(conversation: ImportedConversation) -> None:
    known = {message.key: message for message in conversation.messages}
    ends: dict[str, list[str]] = {}
    told: set[str] = set()
    for turn in turns_of(conversation):
        assert turn.after is None or turn.after in ends
        spoken = [*turn.messages, *([turn.reply] if turn.reply else [])]
        path = [*ends.get(turn.after or "", []), *(message.key for message in spoken)]
        assert path == path_to(known, turn.key)
        assert all(message.role != "assistant" for message in turn.messages)
        assert turn.new == len({message.key for message in spoken} - told)
        told |= {message.key for message in spoken}
        ends[turn.key] = path
    assert told == set(known)


@given(trees())
def test_the_current_path_comes_last(conversation: ImportedConversation) -> None:
    known = {message.key: message for message in conversation.messages}
    *_, last = turns_of(conversation)
    shown = path_to(known, conversation.current)
    assert path_to(known, last.key)[: len(shown)] == shown


def test_messages_in_a_circle_are_left_out() -> None:
    turns = turns_of(talk(said("a", "b"), said("b", "a"), said("c", None)))
    assert [turn.key for turn in turns] == ["c"]


def test_a_turn_is_of_the_time_when_it_began() -> None:
    turns = turns_of(
        talk(
            said("a", None, "user", 5_000_000),
            said("b", "a", "assistant", 9_000_000),
            said("c", "b", "user"),
            said("d", "c", "assistant", 12_000_000),
        )
    )
    assert [turn.at_us for turn in turns] == [5_000_000, 5_000_000]


def test_an_id_is_a_uuid_7_of_time_user_kind_and_message() -> None:
    (turn,) = turns_of(talk(said("a", None, "assistant", 1_714_640_400_500_000)))
    made = UUID(request_id_of(OWNER, turn))
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == 1_714_640_400_500
    assert request_id_of(OWNER, turn) == str(made)
    others = [Owner(user="bob", kind="chatgpt"), Owner(user="ann", kind="claude")]
    assert len({str(made), *(request_id_of(other, turn) for other in others)}) == 3


def test_what_has_no_time_has_an_id_that_does_not_follow_the_files() -> None:
    conversation = talk(said("a", None, "assistant"))
    items = [
        next(
            sendable(conversation, turns_of(conversation), Owner(user="ann", kind="k", at_us=at_us))
        )
        for at_us in (1_000_000, 2_000_000)
    ]
    turns = [item.turn for item in items if item.turn]
    assert [turn.request_time.seconds for turn in turns] == [1, 2]
    assert turns[0].request_id == turns[1].request_id


def test_times_of_every_unit() -> None:
    moment = 1_714_640_400_500_000
    for value in (
        *(1_714_640_400.5, 1_714_640_400_500, 1_714_640_400_500_000_000),
        *("2024-05-02T09:00:00.5Z", "2024-05-02T11:00:00.500+02:00", "2024-05-02T09:00:00.500000"),
    ):
        assert time_us(value) == moment
    for value in (None, True, "", "yesterday", -1, 0, float("nan"), float("inf"), 1e30, [1]):
        assert time_us(value) is None


def test_what_a_person_typed_is_told_from_what_their_program_added() -> None:
    assert as_typed("fix it <system-reminder>\nbe kind\n</system-reminder>") == "fix it"
    assert as_typed("<command-name>/clear</command-name><command-args></command-args>") == ""
    assert (
        as_typed("<command-name>/review</command-name><command-args>the parser</command-args>")
        == "/review the parser"
    )
    assert as_typed("<local-command-stdout>done</local-command-stdout>") == ""
    assert as_typed("what does <b>bold</b> do?") == "what does <b>bold</b> do?"
