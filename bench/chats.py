"""Assistant-style chats to measure on: two people's talk told as one, and made-up ones.

Nobody has a name, nothing has a date, and answers are pages of advice that repeat what was
asked, as models write them. What is made up is ours (chat_templates.toml).
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from memory_svc.words import content_words

_WORDS_OF_ANSWER = (300, 700)
_ROUNDS, _ROUNDS_OF_SESSION = 110, 40
_FACTS, _UPDATES, _TIPS = 18, 4, 4
_CHATS = 10


def told_as_chats(scopes: Iterable[Any], *, long: bool) -> list[Any]:
    """Make one of two speakers the user and the other the assistant; `long` inflates answers."""
    return [_told(scope, random.Random(scope.id), long=long) for scope in scopes]


def made_up(judge: ModuleType) -> list[Any]:
    """Make up chats in which a user tells things amid requests that anybody makes."""
    return [_MadeUp.by_number(number).scope(judge) for number in range(_CHATS)]


def _told(scope: Any, chance: random.Random, *, long: bool) -> Any:
    person, model = dict.fromkeys(turn.speaker for turn in scope.turns)
    turns = []
    before = ""
    for turn in scope.turns:
        role = "assistant" if turn.speaker == model else "user"
        inflated = long and role == "assistant"
        text = _answer(chance, f"{before} {turn.text}", lead=turn.text) if inflated else turn.text
        turns.append(replace(turn, speaker=role, date="", text=text))
        before = turn.text
    asked = (query for query in scope.queries if query.overall)
    queries = [replace(each, text=_addressed(each.text, person, model)) for each in asked]
    return type(scope)(scope.id, turns, queries)


def _addressed(text: str, person: str, model: str) -> str:
    """Word a question about two people as one of them asks the other."""
    for name, own, called in ((person, "my", "I"), (model, "your", "you")):
        text = re.sub(rf"\b{name}('s|\u2019s)", own, text)
        text = re.sub(rf"\b{name}\b", called, text)
    return text


@cache
def _templates() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "chat_templates.toml").read_text())


def _answer(chance: random.Random, about: str, *, lead: str = "", tip: str = "") -> str:
    """Write an answer that repeats the words it is about, with a tip somewhere in it."""
    words = content_words(about) or ("plan",)

    def written(kind: str) -> str:
        one, other = chance.choice(words), chance.choice(words)
        template: str = chance.choice(_templates()[kind])
        return template.format(a=one, b=other, A=one.title(), B=other.title())

    most = chance.randint(*_WORDS_OF_ANSWER)
    paragraphs = [*([lead] if lead else []), written("opening")]
    while sum(len(each.split()) for each in paragraphs) < most:
        paragraphs.append(written("advice"))
    if tip:
        paragraphs.insert(chance.randint(1, len(paragraphs)), tip)
    return "\n\n".join((*paragraphs, written("closing")))


@dataclass
class _MadeUp:
    """A chat that is being made up."""

    number: int
    chance: random.Random
    domains: Sequence[str]
    facts: list[tuple[str, str, str]]  # a domain, a fact, its question
    tips: list[tuple[str, str, str]]
    told: list[tuple[str, str, str]]
    asked: dict[str, tuple[str, set[str]]]  # by question its kind and the turns that answer it

    @classmethod
    def by_number(cls, number: int) -> _MadeUp:
        chance, templates = random.Random(number), _templates()
        domains = chance.sample(sorted(templates["domains"]), 2)
        facts = [(name, *fact) for name in domains for fact in templates["domains"][name]["facts"]]
        tips = chance.sample(templates["tips"], _TIPS)
        return cls(number, chance, domains, chance.sample(facts, _FACTS), tips, [], {})

    def scope(self, judge: ModuleType) -> Any:
        """Return the chat with its questions."""
        plan = ["fact"] * _FACTS + ["tip"] * _TIPS + ["update"] * _UPDATES
        plan += ["request"] * (_ROUNDS - len(plan))
        self.chance.shuffle(plan)
        turns = [turn for n, kind in enumerate(plan) for turn in self._round(judge, n, kind)]
        queries = [
            judge.Query(f"{self.number}#{n}", kind, question, frozenset(evidence), overall=True)
            for n, (question, (kind, evidence)) in enumerate(self.asked.items())
        ]
        return judge.Scope(f"made-up-{self.number}", turns, queries)

    def _round(self, judge: ModuleType, n: int, kind: str) -> Iterator[Any]:
        ids = f"{self.number}-{2 * n}", f"{self.number}-{2 * n + 1}"
        said, tip = self._said(kind, *ids)
        said = " ".join((self._pick("context"), said, self._pick("wishes"), self._pick("padding")))
        session = n // _ROUNDS_OF_SESSION + 1
        yield judge.Turn(ids[0], session, "user", "", said)
        yield judge.Turn(ids[1], session, "assistant", "", _answer(self.chance, said, tip=tip))

    def _said(self, kind: str, asking: str, answering: str) -> tuple[str, str]:
        """Return what a user says, and the tip that it is answered with."""
        if kind == "fact":
            told = self.facts.pop()
            self.told.append(told)
            self.asked[told[2]] = ("told", {asking})
            return f"{self._filled(told)}.", ""
        if kind == "update" and self.told:
            told = self.told.pop(self.chance.randrange(len(self.told)))
            self.asked[told[2]] = ("updated", self.asked[told[2]][1] | {asking})
            return f"a small change: {self._filled(told)} now.", ""
        if kind == "tip":
            said, tip, question = self.tips.pop()
            self.asked[question] = ("advised", {answering})
            return said, tip
        domain = _templates()["domains"][self.chance.choice(self.domains)]
        return self.chance.choice(domain["requests"]), ""

    def _filled(self, told: tuple[str, str, str]) -> str:
        domain, fact, _ = told
        values = _templates()["domains"][domain]["values"]
        return fact.format(**{name: self.chance.choice(some) for name, some in values.items()})

    def _pick(self, kind: str) -> str:
        picked: str = self.chance.choice(_templates()[kind])
        return picked
