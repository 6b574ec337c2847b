"""Which conversation a chat belongs to that names none."""

from __future__ import annotations

from lair.common.v1.caller_pb2 import Caller
from lair.common.v1.chat_pb2 import Message
from lair.memory.v1.conversation_pb2 import Turn
from lair.router.v1.chat_pb2 import ChatCall
from router_svc.recognising import Recognising, derived_id
from tests.router.world import assistant, user

SYSTEM = Message(role="system", text="s")


def call(*messages: Message, user_id: str = "ann") -> ChatCall:
    return ChatCall(messages=messages, caller=Caller(user_id=user_id))


def tell(known: Recognising, *messages: Message, reply: str, user_id: str = "ann") -> str:
    """Have a chat named and answered; return its name."""
    asked = call(*messages, user_id=user_id)
    name = known.name(asked)
    known.note(
        Turn(
            conversation_id=name,
            messages=asked.messages,
            caller=asked.caller,
            reply=assistant(reply),
        )
    )
    return name


def test_the_first_message_of_the_user_names_a_conversation() -> None:
    known = Recognising()
    first = tell(known, SYSTEM, user("one"), reply="1")
    assert first == derived_id(call(user("one")))
    assert tell(known, user("one"), assistant("1"), user("two"), reply="2") == first
    assert tell(known, user("other"), reply="1") != first


def test_the_last_answers_tell_where_the_first_message_is_gone() -> None:
    known = Recognising()
    first = tell(known, user("one"), reply="1")
    tell(known, user("one"), assistant("1"), user("two"), reply="2")
    window = [user("two"), assistant(" 2\n"), user("three")]
    assert tell(known, SYSTEM, *window, reply="3") == first
    longer = [*window[1:], assistant("3"), user("four")]
    assert known.name(call(*longer)) == first
    assert known.name(call(*longer, user_id="bob")) == derived_id(call(*longer, user_id="bob"))


def test_an_answer_that_two_conversations_had_tells_nothing() -> None:
    known = Recognising()
    for name in ("one", "other"):
        tell(known, user(name), reply="Hm")
        tell(known, user(name), assistant("Hm"), user("thanks"), reply="You are welcome")
    window = [user("thanks"), assistant("You are welcome"), user("more")]
    assert known.name(call(*window)) == derived_id(call(*window))


def test_more_messages_tell_more() -> None:
    known = Recognising()
    begun = {name: tell(known, user(name), reply=f"about {name}") for name in ("one", "other")}
    for name in begun:
        thanks = [user(name), assistant(f"about {name}"), user("thanks")]
        tell(known, *thanks, reply="welcome")
    for name, first in begun.items():
        history = [assistant("before"), user(name), assistant(f"about {name}")]
        window = [*history, user("thanks"), assistant("welcome"), user("more")]
        assert known.name(call(user("unknown"), *window)) == first


def test_the_oldest_are_forgotten() -> None:
    known = Recognising(most=3)
    for number in range(5):
        tell(known, user(f"{number}"), reply=f"answer {number}")
    tell(known, user("4"), assistant("answer 4"), user("go on"), reply="more")
    window = [user("go on"), assistant("more"), user("and?")]
    assert known.name(call(*window)) == derived_id(call(user("4")))
    old = [user("0"), assistant("answer 0"), user("go on")]
    assert known.name(call(*old[1:])) == derived_id(call(*old[1:]))
