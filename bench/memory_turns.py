"""Make conversations that look like real ones, as many as are wanted.

Words are drawn as often as English has them (Zipf) from the words that the default model
knows, and each conversation and each sentence speaks of a subject with words, names,
numbers and identifiers of its own, so that a question about a sentence has few answers. A
person's message has 20 words in the middle, an answer 60; every twentieth answer holds
code. The same seed makes the same conversations.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

from memory_svc.embedding.weights import default_weights

FIRST_US = 1_600_000_000_000_000
_STEP_US = 40_000_000
_FREQUENT, _SUBJECT_WORDS = 120, 24
_OWN_EVERY = 3  # of so many words of a message one is its subject's
_LENGTHS = {"user": (20, 0.6), "assistant": (60, 0.6)}
_LEAST_WORDS, _MOST_WORDS = 3, 600
_LEAST_EXCHANGES, _MOST_EXCHANGES = 2, 12
_SENTENCE = (5, 18)
_CODE = "```python\ndef {name}({argument}):\n    return {other}({argument}, {number})\n```"


@dataclass(frozen=True)
class Exchange:
    """What a person says and what is answered, when, and words that tell it from others."""

    said: str
    answer: str
    at_us: int
    telling: tuple[str, ...]


@dataclass(frozen=True)
class Chat:
    """A conversation of a user, both by number."""

    user: int
    number: int
    exchanges: tuple[Exchange, ...]

    @property
    def turns(self) -> int:
        """How many messages it has."""
        return 2 * len(self.exchanges)


@dataclass(frozen=True)
class _Words:
    """All words, the commoner first, and how often the first so many come together."""

    all: tuple[str, ...]
    frequencies: tuple[float, ...]
    rare: tuple[str, ...]


def chats(turns: int, users: int, seed: int = 1) -> Iterator[Chat]:
    """Yield conversations of together `turns` messages, of each user in turn."""
    chance = random.Random(seed)
    made = number = 0
    while made < turns:
        most = min(_MOST_EXCHANGES, max((turns - made) // 2, 1))
        chat = _chat(chance, number % users, number, min(_LEAST_EXCHANGES, most), most)
        yield chat
        made, number = made + chat.turns, number + 1


def question(exchange: Exchange, chance: random.Random) -> str:
    """Ask for what somebody said, with some of the words it has to itself."""
    words = chance.sample(exchange.telling, min(3, len(exchange.telling)))
    form = chance.choice(
        (
            "What did we say about {}?",
            "Do you remember the {}?",
            "What was it again with {}?",
            "How did I want to do the {}?",
        )
    )
    return form.format(" and ".join(words))


@cache
def _words() -> _Words:
    tokenizer = json.loads((default_weights() / "tokenizer.json").read_text(encoding="utf-8"))
    known = tokenizer["model"]["vocab"]
    by_frequency = sorted(known, key=known.__getitem__)
    words = tuple(w for w in by_frequency if w.isascii() and w.isalpha() and len(w) > 1)
    frequencies = accumulate(1 / (rank + 3) for rank in range(len(words)))
    return _Words(words, tuple(frequencies), words[_FREQUENT:])


def _chat(chance: random.Random, user: int, number: int, least: int, most: int) -> Chat:
    subject = chance.sample(_words().rare, _SUBJECT_WORDS)
    begin = FIRST_US + number * _STEP_US
    count = chance.randint(least, most)
    return Chat(user, number, tuple(_exchange(chance, subject, begin + n) for n in range(count)))


def _exchange(chance: random.Random, subject: list[str], at_us: int) -> Exchange:
    names = tuple(word.capitalize() for word in chance.sample(_words().rare, 2))
    own = (*chance.sample(subject, 6), *names, f"{chance.randint(2, 900)}")
    said, answer = (_text(chance, own, role) for role in ("user", "assistant"))
    if chance.random() < 0.05:
        name, other, argument = ("_".join(chance.sample(subject, 2)) for _ in range(3))
        number = chance.randint(1, 99)
        answer += "\n" + _CODE.format(name=name, other=other, argument=argument, number=number)
    return Exchange(said, answer, at_us, own)


def _text(chance: random.Random, own: tuple[str, ...], role: str) -> str:
    """Say something with words of one's own among those that everybody uses."""
    middle, spread = _LENGTHS[role]
    left = min(max(round(middle * chance.lognormvariate(0, spread)), _LEAST_WORDS), _MOST_WORDS)
    known = _words()
    sentences = []
    while left > 0:
        count = min(left, chance.randint(*_SENTENCE))
        words = chance.choices(known.all, cum_weights=known.frequencies, k=count)
        words[::_OWN_EVERY] = chance.choices(own, k=len(words[::_OWN_EVERY]))
        chance.shuffle(words)
        words[0] = words[0][:1].upper() + words[0][1:]
        sentences.append(" ".join(words) + chance.choice(".....?!"))
        left -= count
    return " ".join(sentences)
