"""Passages of another time than the question's have no place in a prompt."""

from __future__ import annotations

import pytest

from memory_svc.model import Passage
from memory_svc.periods import of_its_time
from tests.memory.chats import DAY_US, NOW_US


def passages(*days_ago: int) -> list[Passage]:
    """Return passages of so many days ago, the best first."""
    return [
        Passage(number, "c", "", "user", "said", NOW_US - days * DAY_US, 0.5, None, None)
        for number, days in enumerate(days_ago)
    ]


def left(question: str, *days_ago: int) -> list[int]:
    kept = of_its_time(passages(*days_ago), question, NOW_US)
    return [days_ago[passage.message_id] for passage in kept]


@pytest.mark.parametrize(
    ("question", "days_ago", "kept"),
    [
        ("What did we discuss last week about trading?", [7, 0, 13, 14, 28, 5], [7, 13, 5]),
        ("What did we discuss last week about trading?", [28, 7, 0], [28, 7, 0]),
        ("What did we discuss about trading?", [7, 0, 28], [7, 0, 28]),
        ("What did I say yesterday?", [1, 7, 2, 3], [1, 2]),
        ("What did we say two months ago?", [61, 3, 55], [61, 55]),
        ("What did we do last week?", [], []),
    ],
    ids=["last week", "best is of another time", "no time", "yesterday", "months ago", "nothing"],
)
def test_what_is_left(question: str, days_ago: list[int], kept: list[int]) -> None:
    assert left(question, *days_ago) == kept
