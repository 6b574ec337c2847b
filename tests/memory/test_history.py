"""What goes in front of a client's new messages, and which turns are refused."""

from dataclasses import replace

import pytest

from lair.common.v1.chat_pb2 import Message
from memory_svc.conversations import history_of, refusal
from memory_svc.model import History, PathNode, TreePath, Turn
from memory_svc.tree import ROOT, chain
from tests.memory.chats import assistant, system, user


def path(*messages: Message, kept: tuple[Message, ...] = ()) -> TreePath:
    nodes = map(PathNode, chain(ROOT, messages), messages)
    return TreePath(kept, tuple(nodes))


def head(*messages: Message) -> str:
    return chain(ROOT, messages)[-1].hex()


SAID = (user("I am Ann"), assistant("Hello Ann"))


def test_the_path_goes_before_new_messages():
    assert history_of(path(*SAID), [user("who am I?")]) == History(SAID, 0, head(*SAID))


def test_a_clients_system_messages_stay_in_front():
    stored = path(*SAID, kept=(system("old"),))
    assert history_of(stored, [system("new"), user("?")]) == History(SAID, 1, head(*SAID))


def test_stored_system_messages_stand_in_for_missing_ones():
    stored = path(*SAID, kept=(system("old"),))
    assert history_of(stored, [user("?")]).messages == (system("old"), *SAID)


def test_an_unanswered_attempt_is_not_repeated():
    stored = path(*SAID, user("who am I?"))
    assert history_of(stored, [user("who am I?")]) == History(SAID, 0, head(*SAID))


@pytest.mark.parametrize("ending", ["cancelled", "error"])
def test_neither_is_an_attempt_whose_answer_broke_off(ending: str):
    *before, last = path(*SAID, user("who am I?"), assistant("An")).nodes
    stored = TreePath((), (*before, replace(last, finish_reason=ending)))
    assert history_of(stored, [user("who am I?")]) == History(SAID, 0, head(*SAID))
    assert history_of(stored, [user("go on")]).head == last.hash.hex()


def test_nor_one_that_is_known_to_be_repeated():
    stored = path(*SAID, user("who am I?"), assistant("Ann"))
    assert history_of(stored, [user("who am I?")], answered=True) == History(SAID, 0, head(*SAID))
    assert history_of(stored, [user("and you?")], answered=True).head == stored.nodes[-1].hash.hex()


def test_an_unanswered_first_attempt_leaves_no_history():
    assert history_of(path(user("hi")), [user("hi")]) == History()


def test_the_same_words_again_after_an_answer_are_new():
    stored = path(user("go on"), assistant("one"))
    assert history_of(stored, [user("go on")]).head == head(user("go on"), assistant("one"))


def test_a_conversation_without_messages_has_no_history():
    assert history_of(path(kept=(system("s"),)), [user("hi")]) == History()


TURN = Turn("r", "ann", "c", (user("hi"),), 0)


@pytest.mark.parametrize(
    ("turn", "named"),
    [
        (replace(TURN, request_id=""), "request_id"),
        (replace(TURN, conversation_id=""), "conversation_id"),
        (replace(TURN, conversation_id="c" * 257), "conversation_id"),
        (replace(TURN, user_id="u" * 257), "caller.user_id"),
        (replace(TURN, messages=()), "no messages"),
        (replace(TURN, messages=(user("hi"), Message(text="x"))), "messages[1].role"),
    ],
    ids=["no request", "no conversation", "long id", "long user", "no messages", "no role"],
)
def test_a_refusal_names_what_is_wrong(turn: Turn, named: str):
    assert named in refusal(turn)


def test_a_turn_at_the_limits_is_not_refused():
    assert refusal(replace(TURN, conversation_id="c" * 256)) == ""
    assert refusal(replace(TURN, messages=(), reply=assistant("hi"))) == ""
