"""Where what was recalled goes in a prompt, and as part of what."""

from __future__ import annotations

import pytest

from lair.common.v1.chat_pb2 import ContentPart, ContentParts, ImageUrl, Message
from router_svc.inserting import inserted, joined, place_for
from tests.router.talks import talk, told
from tests.router.world import asking, user


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        (["system: s", "user: 1", "assistant: one", "user: 2"], 3),
        (["user: 1", "calls: x", "tool: x"], 0),
        (["user: 1", "assistant: begun"], 0),
        (["system: s", "assistant: a"], None),
        ([], None),
    ],
    ids=["last", "tool loop", "begun answer", "no user", "nothing"],
)
def test_it_goes_in_front_of_what_the_user_says_last(lines: list[str], place: int | None) -> None:
    assert place_for(talk(*lines)) == place


def test_it_is_a_message_of_its_own_and_then_part_of_the_users() -> None:
    messages = talk("system: s", "user: 1", "assistant: one", "user: 2", "calls: x", "tool: x")
    call = asking(messages=messages)
    longer = inserted(call, 3, "recalled")
    assert told(longer.messages)[2:5] == ["assistant: one", "user: recalled", "user: 2"]
    assert told(joined(longer.messages, 3)) == [
        *("system: s", "user: 1", "assistant: one", "user: recalled\n\n2", "calls: x", "tool: x")
    ]
    assert list(call.messages) == messages


def test_pictures_and_names_stay() -> None:
    picture = ContentPart(type="image_url", image_url=ImageUrl(url="data:,"))
    text = ContentPart(type="text", text="Who is this?")
    said = Message(role="user", name="ann", parts=ContentParts(parts=[text, picture]))
    [message] = joined([user("recalled"), said], 0)
    recalled = ContentPart(type="text", text="recalled")
    assert list(message.parts.parts) == [recalled, text, picture]
    assert message.name == "ann"
    assert len(said.parts.parts) == 2


def test_a_user_who_says_nothing_gets_it_all_the_same() -> None:
    [message] = joined([user("recalled"), Message(role="user")], 0)
    assert message.text == "recalled\n\n"
