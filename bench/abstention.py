"""Measure when recall finds what is not wanted, and what it fails to find, by the threshold.

python -m bench.abstention [DATA]      # DATA as in bench/locomo.py

Asked of each user's memory: what it answers, what another user's would, and what needs no
memory at all. A recall that is empty is right for the last two and wrong for the first; a
stranger's question is often about things that both talk of.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.locomo import (
    Memory,
    indexed,
    load_data,
    parser_of_data,
    remember,
    running,
)
from lair.common.v1.chat_pb2 import Message
from lair.memory.v1 import recall_service_pb2 as recall
from svckit.settings import Memory as MemorySettings
from svckit.settings import Settings

RESULTS = Path(__file__).parent / "results" / "abstention.json"
THRESHOLDS = (0.0, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 1.0)
KINDS = ("own", "strangers", "generic")
_STRANGERS = 100
_GENERIC = (Path(__file__).parent / "generic_requests.txt").read_text().splitlines()


def main() -> None:
    parser = parser_of_data(argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]))
    parser.add_argument("--save", action="store_true")
    args = parser.parse_args()
    name, judge, scopes = load_data(args)
    rates = asyncio.run(measure(judge, scopes))
    show(rates)
    if args.save:
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps(kept | {name: rates}, indent=1) + "\n")


async def measure(judge: Any, scopes: Sequence[Any]) -> dict[str, dict[str, float]]:
    """Return by threshold how many of the questions of each kind are answered, in percent."""
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        async with running(Settings(data_dir=Path(folder))) as memory:
            for scope in scopes:
                await remember(judge, memory, scope)
            await indexed(memory)
        for threshold in THRESHOLDS:
            own = MemorySettings(similarity_threshold=threshold)
            async with running(Settings(data_dir=Path(folder), memory=own)) as memory:
                await indexed(memory)
                rates[str(threshold)] = await answered(memory, scopes)
    return rates


async def answered(memory: Memory, scopes: Sequence[Any]) -> dict[str, float]:
    """Return of each kind of questions how many something is recalled for, in percent."""
    found = {
        kind: [await is_recalled(memory, *each) for each in asked]
        for kind, asked in questions(scopes).items()
    }
    return {kind: round(100 * sum(each) / len(each), 1) for kind, each in found.items()}


def questions(scopes: Sequence[Any]) -> dict[str, list[tuple[str, str]]]:
    """Return users and what they are asked, by kind."""
    chance = random.Random(5)
    strangers = []
    for scope in scopes:
        known = {query.text for query in scope.queries}
        others = [text for other in scopes for text in _texts(other) if text not in known]
        picked = chance.sample(others, min(_STRANGERS, len(others)))
        strangers += [(scope.id, text) for text in picked]
    return {
        "own": [(scope.id, text) for scope in scopes for text in _texts(scope)],
        "strangers": strangers,
        "generic": [(scope.id, text) for scope in scopes for text in _GENERIC],
    }


def _texts(scope: Any) -> Iterator[str]:
    return (query.text for query in scope.queries if query.overall)


async def is_recalled(memory: Memory, user: str, text: str) -> bool:
    """Tell whether something is recalled for what a user says first in a chat."""
    request = recall.RecallRequest(user_id=user, messages=[Message(role="user", text=text)])
    return bool((await memory.recall.Recall(request, timeout=60)).passages)


def show(rates: dict[str, dict[str, float]]) -> None:
    table = Table("threshold", *KINDS)
    for threshold, row in rates.items():
        table.add_row(threshold, *(f"{row[kind]:.1f}" for kind in KINDS))
    Console().print(table)


if __name__ == "__main__":
    main()
