"""Which times a question names, and how near something was said to them."""

from datetime import UTC, datetime

import numpy as np
import pytest

from memory_svc.retrieval.dates import affinity, times_in

NOW = datetime(2024, 6, 12, 15, tzinfo=UTC)  # a Wednesday


def us(year: int, month: int, day: int) -> int:
    return round(datetime(year, month, day, 12, tzinfo=UTC).timestamp() * 1e6)


def near(question: str, *days: tuple[int, int, int]) -> list[float]:
    times = times_in(question, round(NOW.timestamp() * 1e6))
    return [round(float(n), 1) for n in affinity(times, np.array([us(*day) for day in days]))]


@pytest.mark.parametrize(
    ("question", "most", "none"),
    [
        ("What did we do on 8 May 2023?", (2023, 5, 9), (2023, 5, 30)),
        ("What did we do on May 8, 2023?", (2023, 5, 9), (2024, 5, 9)),
        ("What happened on the 8th of May, 2023", (2023, 5, 10), (2023, 4, 20)),
        ("on 2023-05-08?", (2023, 5, 9), (2023, 5, 30)),
        ("What did I buy in May 2023?", (2023, 5, 15), (2023, 7, 1)),
        ("What did I buy on 8 Jun. 2023?", (2023, 6, 9), (2023, 7, 30)),
        ("What did I buy in Sept 2023?", (2023, 9, 15), (2023, 11, 1)),
        ("What did I buy in May?", (2022, 5, 15), (2022, 7, 1)),
        ("What did I do around New Year, 1 January?", (2024, 1, 2), (2024, 2, 1)),
        ("What did I do on 30 December?", (2022, 1, 1), (2022, 1, 20)),
        ("Where was I in 2022?", (2022, 7, 1), (2024, 1, 30)),
        ("what about yesterday", (2024, 6, 11), (2024, 6, 8)),
        ("What did we discuss last week about trading?", (2024, 6, 5), (2024, 5, 25)),
        ("two weeks ago", (2024, 5, 29), (2024, 6, 12)),
        ("a couple of months ago", (2024, 4, 13), (2024, 6, 11)),
        ("10 days ago", (2024, 6, 2), (2024, 6, 12)),
        ("in the last three weeks", (2024, 6, 2), (2024, 5, 1)),
        ("What did I say last Monday?", (2024, 6, 10), (2024, 6, 4)),
        ("what did I do recently", (2024, 6, 11), (2024, 4, 1)),
    ],
)
def test_what_was_said_then_is_near(
    question: str, most: tuple[int, int, int], none: tuple[int, int, int]
):
    then, other = near(question, most, none)
    assert then >= 0.7
    assert other == 0


@pytest.mark.parametrize(
    "question",
    [
        "What may I eat?",
        "We march on",
        "is 2024 a prime?",
        "Jan said so",
        "31 June 2023",
        "one more",
        "",
        "0 May",
    ],
)
def test_what_names_no_time_prefers_none(question: str):
    assert near(question, (2024, 6, 12), (2024, 5, 15), (2023, 6, 30)) == [0, 0, 0]


def test_of_several_times_the_nearest_counts():
    found = near("in May 2023 or in July 2023?", (2023, 5, 15), (2023, 7, 15), (2023, 6, 14))
    assert found[0] == found[1] == 1.0
    assert found[2] == 0
