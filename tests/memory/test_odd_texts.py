"""No text takes long to read: one that does would hold up everybody's memory."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from lair.common.v1.chat_pb2 import Message
from memory_svc.boilerplate import own_words
from memory_svc.questions import question_of
from memory_svc.speech import parts
from memory_svc.titles import title_of
from memory_svc.words import content_words, findable, normalised
from svckit.masking import masked
from svckit.recalled import without_recalled

SIZE = 200_000
ODD = {
    "one word": "x" * SIZE,
    "one word of humps": "aB" * (SIZE // 2),
    "shouted": "A" * SIZE + "b",
    "tags that never end": "<a>" * (SIZE // 3) + "</b>",
    "different tags": "".join(f"<a{n}>" for n in range(SIZE // 8)) + "</zz>",
    "tags in tags": "<query>" * (SIZE // 15) + "</query>" * (SIZE // 16),
    "fences": "```\n" * (SIZE // 4),
    "lines": "\n" * SIZE,
    "spaces": " " * SIZE,
    "quotes": "> " * (SIZE // 2),
    "addresses": "http://" * (SIZE // 7),
    "signs": "漢字" * (SIZE // 4),
    "key": "sk-" + "a" * SIZE,
    "private keys": "-----BEGIN PRIVATE KEY-----" * (SIZE // 27),
    "dates": "in May 2023 " * (SIZE // 12),
}
READERS: dict[str, Callable[[str], object]] = {
    "own_words": own_words,
    "question_of": lambda text: question_of([Message(role="user", text=text)]),
    "parts": lambda text: list(parts(text)),
    "title_of": lambda text: title_of([Message(role="user", text=text)]),
    "content_words": content_words,
    "findable": findable,
    "normalised": normalised,
    "masked": masked,
    "without_recalled": without_recalled,
}


def seconds(read: Callable[[str], object], text: str) -> float:
    begin = time.thread_time()
    read(text)
    return time.thread_time() - begin


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("odd", ODD)
def test_ten_times_the_text_takes_no_more_than_forty_times_as_long(reader: str, odd: str) -> None:
    read, text = READERS[reader], ODD[odd]
    least = 0.005  # shorter times are those of the clock
    small = min(seconds(read, text[: SIZE // 10]) for _ in range(3))
    assert seconds(read, text) <= 40 * max(small, least)
