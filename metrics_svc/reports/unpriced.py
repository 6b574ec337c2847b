"""Models whose tokens have no known price, and what to write about them into `lair.toml`."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable
from dataclasses import dataclass

from metrics_svc.model import CostSource, Scope
from metrics_svc.query import Question, SumRow
from metrics_svc.storage.base import Ledger

_UNPRICED = {"cost_source": (int(CostSource.UNPRICED),)}


@dataclass(frozen=True, slots=True)
class Unpriced:
    """A model of a backend, its requests of unknown cost and their tokens."""

    backend: str
    model: str
    records: int
    tokens: int

    @property
    def toml(self) -> str:
        """The table of its price, to be filled in."""
        model = glob.escape(self.model)  # in the settings `*` stands for any text
        whose = "" if self.backend else "  # of no backend, as imports are: this is for all of them"
        return (
            "[[prices]]\n"
            f"backend = {json.dumps(self.backend, ensure_ascii=False)}{whose}\n"
            f"model = {json.dumps(model, ensure_ascii=False)}\n"
            "input = 0.0  # US dollars for a million tokens of prompts; 0 is free\n"
            "output = 0.0  # US dollars for a million tokens of answers; 0 is free\n"
        )


async def read_unpriced(ledger: Ledger, scope: Scope) -> tuple[Unpriced, ...]:
    """List the models of `scope` whose tokens have no known price."""
    question = Question(scope=scope, filters=_UNPRICED, dimensions=("backend", "model_used"))
    return unpriced(await ledger.sums(question, ("records", "priced", "tokens")))


def unpriced(rows: Iterable[SumRow]) -> tuple[Unpriced, ...]:
    """List the models with tokens but no price, the most tokens first."""
    found = []
    for row in rows:
        records, priced, tokens = row.sums
        backend, model = row.keys
        if records > priced and tokens and model:
            found.append(Unpriced(backend, model, records - priced, tokens))
    return tuple(sorted(found, key=lambda it: (-it.tokens, it.backend, it.model)))
