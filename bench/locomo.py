"""Measure how well the running memory service finds evidence: LoCoMo, or BEAM.

python -m bench.locomo [DATA]                  # words, meaning, and what is shipped
python -m bench.locomo --random-vectors        # a model that understands nothing
python -m bench.locomo --no-words              # a full-text index that is empty
python -m bench.locomo --chats [--long]        # told as a user's chats with an assistant
python -m bench.locomo --made-up               # chats of our own (bench/chats.py)
python -m bench.locomo --save                  # also write bench/results/locomo.json

DATA is `locomo10.json` or a part of it, or a directory of BEAM chats. It stays where it
is: its licence forbids to pass it on. `locomo_eval.py` beside it is the judge. Each of
its conversations becomes one user, each of its sessions one conversation of that user
with the session's date, and every question a gRPC `Search` of that user's memory.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.chats import made_up, told_as_chats
from lair.common.v1.caller_pb2 import Caller
from lair.common.v1.chat_pb2 import ContentPart, ContentParts, Message
from lair.memory.v1 import conversation_pb2
from lair.memory.v1 import conversation_service_pb2 as conversation
from lair.memory.v1 import recall_service_pb2 as recall
from lair.memory.v1.conversation_service_pb2_grpc import ConversationServiceStub
from lair.memory.v1.recall_service_pb2_grpc import RecallServiceStub
from memory_svc.embedding.base import Embedder, ModelStatus
from memory_svc.main import open_service
from memory_svc.model import Vector
from svckit.channels import connect
from svckit.grpc_server import serving
from svckit.settings import Settings
from svckit.times import to_timestamp

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data" / "locomo-dev.json"
RESULTS = ROOT / "bench" / "results" / "locomo.json"
METRICS = ("R@5", "R@10", "R@20", "N@10", "R@500w")
BARS = (78.0, 84.5, 89.0, 68.5, 87.5)
SYSTEMS = {"words": ("words",), "meaning": ("meaning",), "shipped": ()}
_PASSAGES = 100
_ROLES = ("user", "assistant")
_DIMENSIONS = 384
_SEED = 7


@dataclass(frozen=True)
class Memory:
    """The service that is measured, spoken to over gRPC."""

    conversations: Any
    recall: Any


class RandomVectors:
    """A model that gives every text a direction of its own, and so understands nothing."""

    model = "random"
    status = ModelStatus("ready")

    def __init__(self) -> None:
        self._chance = np.random.default_rng(_SEED)

    async def load(self) -> None:
        """Load nothing."""

    async def embed(self, texts: Sequence[str]) -> Vector:
        """Return a direction for each text."""
        rows = self._chance.normal(size=(len(texts), _DIMENSIONS)).astype(np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))

    async def embed_query(self, text: str) -> Vector:
        """Return a direction for the question."""
        return np.asarray((await self.embed([text]))[0])

    def close(self) -> None:
        """Close nothing."""


def main() -> None:
    parser = parser_of_data(argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]))
    parser.add_argument("--random-vectors", action="store_true")
    parser.add_argument("--no-words", action="store_true")
    parser.add_argument("--save", action="store_true")
    args = parser.parse_args()
    name, judge, scopes = load_data(args)
    started = time.perf_counter()
    embedder = RandomVectors() if args.random_vectors else None
    runs = asyncio.run(measure(judge, scopes, embedder, no_words=args.no_words))
    figures = {system: judge.evaluate(scopes, run) for system, run in runs.items()}
    show(figures, with_bars=name == DATA.stem)
    print(f"{time.perf_counter() - started:.0f} s, {sum(len(s.turns) for s in scopes)} turns")
    if args.save:
        name += " random vectors" * args.random_vectors + " no words" * args.no_words
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps(kept | {name: summary(figures)}, indent=1) + "\n")


def parser_of_data(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Let a program be told which data to take."""
    parser.add_argument("data", type=Path, nargs="?", default=DATA)
    parser.add_argument("--judge", type=Path, help="locomo_eval.py; the one beside DATA's")
    parser.add_argument("--chats", action="store_true", help="tell DATA as an assistant's chats")
    parser.add_argument("--long", action="store_true", help="with long answers")
    parser.add_argument("--made-up", action="store_true", help="take made-up chats, not DATA")
    return parser


def load_data(args: argparse.Namespace) -> tuple[str, ModuleType, list[Any]]:
    """Return the name of the data, its judge, and its scopes."""
    judge = load_judge(args.judge or DATA.parent / "locomo_eval.py")
    if args.made_up:
        return "made-up", judge, made_up(judge)
    scopes = judge.load(args.data)
    if args.chats:
        name = f"{args.data.stem} as chats" + ", long answers" * args.long
        return name, judge, told_as_chats(scopes, long=args.long)
    return args.data.stem, judge, scopes


def load_judge(path: Path) -> ModuleType:
    """Import the judge from where it is."""
    spec = importlib.util.spec_from_file_location("locomo_eval", path)
    if spec is None or spec.loader is None:
        sys.exit(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["locomo_eval"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


async def measure(
    judge: ModuleType, scopes: Sequence[Any], embedder: Embedder | None, *, no_words: bool
) -> dict[str, dict[str, list[str]]]:
    """Return for each system the turns found for each question, best first."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        async with running(settings, embedder) as memory:
            for scope in scopes:
                await remember(judge, memory, scope)
            await indexed(memory)
            if no_words:
                with closing(sqlite3.connect(settings.memory_database)) as database, database:
                    database.execute("insert into message_fts (message_fts) values ('delete-all')")
            return {
                name: {
                    query.qid: found
                    for scope in scopes
                    for query, found in await ask(memory, scope, channels)
                }
                for name, channels in SYSTEMS.items()
            }


@asynccontextmanager
async def running(settings: Settings, embedder: Embedder | None = None) -> AsyncIterator[Memory]:
    """Run the service and yield what speaks to it."""
    async with (
        open_service(settings, embedder=embedder) as servicers,
        serving(servicers, "127.0.0.1:0", grace_seconds=0) as port,
        connect(f"127.0.0.1:{port}") as channel,
    ):
        yield Memory(ConversationServiceStub(channel), RecallServiceStub(channel))


async def remember(judge: ModuleType, memory: Memory, scope: Any) -> None:
    """Store a scope's sessions, each as one request of its user."""
    for session, turns in groupby(scope.turns, key=lambda turn: turn.session):
        said = list(turns)
        day = judge.session_day(said[0].date)
        noon = day and datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        stored = conversation_pb2.Turn(
            request_id=f"{scope.id}-{session}",
            conversation_id=f"session-{session}",
            caller=Caller(user_id=scope.id),
            messages=map(message, said),
            request_time=noon and to_timestamp(round(noon.timestamp() * 1e6)),
        )
        await memory.conversations.AppendTurns(
            conversation.AppendTurnsRequest(turns=[stored]), timeout=60
        )


def message(turn: Any) -> Message:
    """Word a turn as a client would: people by name, a picture's caption as a part."""
    role = turn.speaker if turn.speaker in _ROLES else "user"
    name = None if turn.speaker in _ROLES else turn.speaker
    if not turn.caption:
        return Message(role=role, name=name, text=turn.text)
    texts = (turn.text, f"[image: {turn.caption}]")
    parts = [ContentPart(type="text", text=text) for text in texts]
    return Message(role=role, name=name, parts=ContentParts(parts=parts))


async def indexed(memory: Memory) -> None:
    """Wait until everything has its vectors."""
    while True:
        status = await memory.recall.GetIndexStatus(recall.GetIndexStatusRequest())
        if status.model_state == "failed":
            sys.exit(status.model_error)
        if status.model_state == "ready" and not status.pending_count:
            return
        await asyncio.sleep(0.5)


async def ask(memory: Memory, scope: Any, channels: Sequence[str]) -> list[tuple[Any, list[str]]]:
    """Ask all of a scope's questions; return the turns found for each."""
    turns = await turns_by_number(memory, scope)
    answered = []
    for query in scope.queries:
        request = recall.SearchRequest(
            user_id=scope.id, query=query.text, limit=_PASSAGES, channels=channels
        )
        response = await memory.recall.Search(request, timeout=60)
        assert not response.degraded or "meaning" not in channels, response.degraded
        answered.append((query, [turns[found.message_id] for found in response.passages]))
    return answered


async def turns_by_number(memory: Memory, scope: Any) -> dict[int, str]:
    """Return the turn of each stored message's number."""
    numbers = {}
    for session, turns in groupby(scope.turns, key=lambda turn: turn.session):
        listed = await memory.conversations.ListMessages(
            conversation.ListMessagesRequest(
                user_id=scope.id, conversation_id=f"session-{session}", page_size=1000
            )
        )
        said = zip(listed.messages, turns, strict=True)
        numbers.update({stored.id: turn.id for stored, turn in said})
    return numbers


def show(figures: dict[str, dict[str, dict[str, float]]], *, with_bars: bool) -> None:
    """Print a table of percentages, and how far the shipped pipeline is from others and bars."""
    table = Table("system", "group", "n", *METRICS)
    for system, groups in figures.items():
        for group, row in groups.items():
            cells = (f"{100 * row[metric]:.1f}" for metric in METRICS)
            table.add_row(system, group, str(row["n"]), *cells)
        table.add_section()
    console = Console()
    console.print(table)
    overall = {system: groups["OVERALL"] for system, groups in figures.items()}
    others = {system: [100 * overall[system][m] for m in METRICS] for system in overall}
    for system, values in (others | ({"the bars": list(BARS)} if with_bars else {})).items():
        if system != "shipped":
            over = (100 * overall["shipped"][m] - v for m, v in zip(METRICS, values, strict=True))
            console.print(f"shipped over {system}:", *(f"{each:+.1f}" for each in over))


def summary(figures: dict[str, dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Return what is kept of a run: percentages."""
    return {
        system: {
            group: {"n": row["n"]} | {m: round(100 * row[m], 1) for m in METRICS}
            for group, row in groups.items()
        }
        for system, groups in figures.items()
    }


if __name__ == "__main__":
    main()
