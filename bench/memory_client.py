"""Ask a running memory_svc over gRPC, and measure how long it takes."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.memory_filling import turns_of, user_id
from bench.memory_turns import Chat, chats, question
from lair.common.v1.caller_pb2 import Caller
from lair.common.v1.chat_pb2 import Message
from lair.memory.v1 import conversation_pb2
from lair.memory.v1 import conversation_service_pb2 as conversation
from lair.memory.v1 import recall_service_pb2 as recall
from lair.memory.v1.conversation_service_pb2_grpc import ConversationServiceStub
from lair.memory.v1.recall_service_pb2_grpc import RecallServiceStub
from svckit.channels import connect

PATIENCE_SECONDS = 600.0
_QUERIES_A_SECOND = 5.0
_AT_ONCE = 20


@dataclass(frozen=True)
class Asked:
    """A question, and whose it is."""

    user_id: str
    text: str


@dataclass
class Times:
    """How long calls of one kind took, in milliseconds."""

    ms: list[float] = field(default_factory=list)

    def percentile(self, percent: float) -> float:
        """Return the time that so many in a hundred calls did not exceed."""
        ordered = sorted(self.ms)
        return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]

    def summary(self) -> dict[str, float]:
        """Return what is kept of them."""
        return {f"p{percent}": round(self.percentile(percent), 2) for percent in (50, 99)}

    async def of(self, call: Awaitable[Any]) -> Any:
        """Wait for a call and note how long it took."""
        begin = time.perf_counter()
        answer = await call
        self.ms.append((time.perf_counter() - begin) * 1000)
        return answer


class Memory:
    """A running memory_svc."""

    def __init__(self, channel: Any) -> None:
        self._conversations: Any = ConversationServiceStub(channel)
        self._recall: Any = RecallServiceStub(channel)

    async def search(self, asked: Asked) -> Any:
        """Search as a person does."""
        request = recall.SearchRequest(user_id=asked.user_id, query=asked.text)
        return await self._recall.Search(request, timeout=PATIENCE_SECONDS)

    async def recall(self, asked: Asked) -> Any:
        """Recall as the router does for a chat."""
        request = recall.RecallRequest(
            user_id=asked.user_id,
            messages=[Message(role="user", text=asked.text)],
            filter=recall.SearchFilter(exclude_conversation_id="the-chat"),
            request_id=str(uuid.uuid4()),
        )
        return await self._recall.Recall(request, timeout=PATIENCE_SECONDS)

    async def append(self, turns: Sequence[conversation_pb2.Turn]) -> None:
        """Store turns as the router does."""
        request = conversation.AppendTurnsRequest(turns=turns)
        await self._conversations.AppendTurns(request, timeout=PATIENCE_SECONDS)

    async def pending(self) -> int:
        """Return how many messages wait for vectors."""
        status = await self._recall.GetIndexStatus(
            recall.GetIndexStatusRequest(), timeout=PATIENCE_SECONDS, wait_for_ready=True
        )
        return int(status.pending_count)

    async def ready(self) -> None:
        """Wait until the model is loaded and nothing waits to be indexed."""
        while True:
            status = await self._recall.GetIndexStatus(
                recall.GetIndexStatusRequest(), timeout=PATIENCE_SECONDS, wait_for_ready=True
            )
            if status.model_state == "failed":
                raise SystemExit(status.model_error)
            if status.model_state == "ready" and not status.pending_count:
                return
            await asyncio.sleep(0.1)

    async def first_recall(self, asked: Asked) -> None:
        """Wait until a recall compares words and meanings and finds something."""
        while True:
            await asyncio.sleep(0.01)
            try:
                answer = await self.recall(asked)
            except Exception:  # noqa: BLE001  # it does not listen yet
                continue
            if answer.passages and not answer.degraded:
                return


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Memory]:
    async with connect(f"127.0.0.1:{port}") as channel:
        yield Memory(channel)


def questions(turns: int, users: int, count: int, seed: int = 3) -> list[Asked]:
    """Return questions about what so many stored turns say, of users by chance."""
    chance = random.Random(seed)
    # Those of the beginning stand for all: reading up on a million takes minutes.
    known = list(chats(min(turns, max(20_000, 40 * users)), users))
    asked = []
    for chat in chance.choices(known, k=count):
        exchange = chance.choice(chat.exchanges)
        asked.append(Asked(user_id(chat.user), question(exchange, chance)))
    return asked


async def measured(call: Callable[[Asked], Awaitable[Any]], asked: Sequence[Asked]) -> Times:
    """Ask one question after the other."""
    times = Times()
    for each in asked:
        await times.of(call(each))
    return times


async def ingest(
    memory: Memory, asked: Sequence[Asked], *, users: int, rate: float, seconds: float
) -> dict[str, Any]:
    """Store `rate` messages a second while questions are asked; return what was measured."""
    appends, recalls, depths = Times(), Times(), [await memory.pending()]
    begin = time.perf_counter()
    end = begin + seconds
    exchanges = _exchanges(users)
    late = 0.0

    async def append() -> None:
        nonlocal late
        for number in itertools.count():
            due = begin + number * 2 / rate
            if due >= end:
                return
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            late = max(late, time.perf_counter() - due)
            await appends.of(memory.append([next(exchanges)]))

    async def ask() -> None:
        for each in itertools.cycle(asked):
            if time.perf_counter() >= end:
                return
            await recalls.of(memory.recall(each))
            await asyncio.sleep(1 / _QUERIES_A_SECOND)

    async def watch() -> None:
        while time.perf_counter() < end:
            await asyncio.sleep(1)
            depths.append(await memory.pending())

    async with asyncio.TaskGroup() as group:
        for work in (append(), ask(), watch()):
            group.create_task(work)
    took = time.perf_counter() - begin
    await memory.ready()
    return {
        "seconds": seconds,
        "messages_per_s": round(2 * len(appends.ms) / took, 1),
        "append_ms": appends.summary(),
        "recall_ms": recalls.summary(),
        "latest_s": round(late, 2),
        "queue": {"begin": depths[0], "most": max(depths), "end": depths[-1]},
        "drained_after_s": round(time.perf_counter() - begin - took, 1),
    }


def _exchanges(users: int) -> Iterator[conversation_pb2.Turn]:
    """Yield what people and models say in conversations that go on side by side."""
    made = chats(10**9, users, seed=random.randrange(10**6))
    while True:
        batch = [list(_turns(chat)) for chat in itertools.islice(made, _AT_ONCE)]
        for turns in itertools.zip_longest(*batch):
            yield from (turn for turn in turns if turn is not None)


def _turns(chat: Chat) -> Iterator[conversation_pb2.Turn]:
    # Nothing that an earlier run stored under the same number.
    prefix = f"{uuid.uuid4()}"
    for number, turn in enumerate(turns_of(chat)):
        yield conversation_pb2.Turn(
            request_id=f"{prefix}-{number}",
            conversation_id=prefix,
            caller=Caller(user_id=turn.user_id),
            messages=turn.messages,
            reply=turn.reply,
        )
