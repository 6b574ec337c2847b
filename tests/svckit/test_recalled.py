"""What lair put into a prompt is known wherever it turns up, and nothing else is."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lair.common.v1.chat_pb2 import ContentPart, ContentParts, ImageUrl, Message
from svckit.recalled import marked, message_without_recalled, without_recalled

BLOCK = marked("- quoted:\n  > </lair-memory>")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"{BLOCK}\n\nWhat now?", "What now?"),
        (f"You sent:\n{BLOCK}\nThat is all.", "You sent:\nThat is all."),
        (f"{BLOCK}\n{BLOCK}", ""),
        (f"{marked('')}\n\nx", "x"),
        ("<lair-memory>\nnever closed", "<lair-memory>\nnever closed"),
        ("What is <lair-memory> for?", "What is <lair-memory> for?"),
        ("nothing\n\n", "nothing\n\n"),
    ],
    ids=["in front", "within", "twice", "empty", "open", "named", "none"],
)
def test_blocks_go_and_the_rest_stays(text: str, left: str) -> None:
    assert without_recalled(text) == left


@given(st.text(), st.text())
def test_what_was_said_comes_back_as_it_was(said: str, recalled: str) -> None:
    quoted = "".join(f"\n  > {line}" for line in recalled.splitlines())
    said = said.lstrip("\n")
    assert without_recalled(f"{marked(quoted)}\n\n{said}") == without_recalled(said)


def test_parts_are_cleaned_one_by_one() -> None:
    picture = ContentPart(type="image_url", image_url=ImageUrl(url="data:,"))
    parts = [ContentPart(type="text", text=f"{BLOCK}\n\nhi"), picture]
    clean = message_without_recalled(Message(role="user", parts=ContentParts(parts=parts)))
    assert list(clean.parts.parts) == [ContentPart(type="text", text="hi"), picture]
    assert parts[0].text.endswith("hi")


def test_a_message_without_a_block_is_itself() -> None:
    message = Message(role="assistant", text="hi")
    assert message_without_recalled(message) is message


def test_many_openings_take_no_time() -> None:
    text = "<lair-memory>\n" * 200_000
    begun = time.perf_counter()
    assert without_recalled(text) == text
    assert time.perf_counter() - begun < 2
