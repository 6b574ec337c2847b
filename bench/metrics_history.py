"""A year of a busy household, made up: who asks what of which model, and how it ends.

Sessions of agents, chats and workflows begin over the day and go on for a while; their
prompts grow and are partly cached; some requests fail, move to another backend, are given
up or sent again. The same seed makes the same history.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from metrics_svc.model import Attempt, CostSource, Origin, RequestRow, Status, Tokens, UsageSource

ZONE = ZoneInfo("Europe/Berlin")
DAY_US = 86_400_000_000
_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Habit:
    """How one person uses one program: requests a session, and seconds between them."""

    user: str
    projects: tuple[str, ...]
    client: str
    endpoint: str
    length: tuple[int, int]
    pause: tuple[int, int]
    models: tuple[str, ...]
    weight: int
    streamed: bool = True
    named_sessions: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model runs: speed in tokens a second, prices in nano-dollars a token."""

    backend: str
    speed: float
    price_in: int = 0
    price_out: int = 0

    @property
    def local(self) -> bool:
        """Whether nobody is paid for it."""
        return not self.price_out


_CHAT, _ANTHROPIC = "/v1/chat/completions", "/v1/messages"
HABITS = (
    Habit("ann", ("shop", "lair", "notes"), "opencode/1.2", _CHAT, (20, 160), (8, 45),
          ("auto", "qwen3-coder-30b", "glm-4.7"), 5),
    Habit("ann", ("",), "open-webui", _CHAT, (2, 14), (30, 180), ("qwen3-30b-a3b", "auto"), 5),
    Habit("bob", ("game", "site"), "claude-code/2.1", _ANTHROPIC, (30, 220), (6, 40),
          ("claude-sonnet-4.6", "auto"), 4),
    Habit("bob", ("",), "curl/8.5", _CHAT, (1, 4), (5, 60), ("gpt-oss-20b",), 2,
          streamed=False, named_sessions=False),
    Habit("cleo", ("thesis",), "open-webui", _CHAT, (3, 25), (20, 200),
          ("gemma-3-27b", "qwen3-30b-a3b"), 6),
    Habit("flows", ("mail", "invoices", "news"), "openai-python/1.60", _CHAT, (1, 9), (1, 6),
          ("gpt-oss-20b", "auto"), 25, streamed=False),
    Habit("flows", ("search",), "openai-python/1.60", "/v1/embeddings", (5, 40), (1, 3),
          ("nomic-embed-text",), 6, streamed=False),
)  # fmt: skip
_GAMING, _OLD = "gaming-pc", "old-pc"
PLACES = {
    "qwen3-coder-30b": Place(_GAMING, 62.0),
    "qwen3-30b-a3b": Place(_GAMING, 71.0),
    "gpt-oss-20b": Place(_OLD, 48.0),
    "gemma-3-27b": Place(_OLD, 22.0),
    "nomic-embed-text": Place(_OLD, 900.0),
    "glm-4.7": Place("zen", 85.0, 450, 1950),
    "claude-sonnet-4.6": Place("zen", 68.0, 3000, 15000),
}
_AUTO = ("qwen3-coder-30b", "qwen3-30b-a3b", "gpt-oss-20b", "glm-4.7")
_ENDINGS = (
    *((Status.OK, 200),) * 955,
    *((Status.CLIENT_CANCELLED, 499),) * 18,
    *((Status.TIMEOUT, 504),) * 7,
    *((Status.UPSTREAM_ERROR, 502),) * 8,
    *((Status.RATE_LIMITED, 429),) * 6,
    *((Status.INVALID_REQUEST, 400),) * 4,
    *((Status.AUTH, 401),) * 2,
)


@dataclass(frozen=True, slots=True)
class _Sitting:
    """What the requests of one session have in common."""

    habit: Habit
    project: str
    asked: str
    model: str
    session: str
    conversation: str

    @property
    def place(self) -> Place:
        return PLACES[self.model]


class History:
    """Requests of day after day, in the order they came in."""

    def __init__(self, first_us: int, a_day: int, seed: int = 6) -> None:
        self._first_us = first_us
        self._a_day = a_day
        self._chance = random.Random(seed)

    def days(self, days: int) -> Iterator[list[RequestRow]]:
        """Yield the requests of each day."""
        for day in range(days):
            start = self._first_us + day * DAY_US
            rows: list[RequestRow] = []
            while len(rows) < self._a_day:
                rows += self._session(start)
            rows.sort(key=lambda row: row.ts_us)
            yield rows[: self._a_day]

    def _session(self, day_us: int) -> Iterator[RequestRow]:
        chance = self._chance
        sitting = self._sitting()
        habit = sitting.habit
        at_us = day_us + int(chance.triangular(6, 24, 15) * 3600 * _SECOND_US)
        prompt = chance.randint(200, 6000)
        before: RequestRow | None = None
        for _ in range(chance.randint(*habit.length)):
            before = self._request(sitting, at_us, prompt, before)
            yield before
            prompt += (before.tokens.completion or 0) + chance.randint(20, 1500)
            at_us += (before.duration_us or 0) + chance.randint(*habit.pause) * _SECOND_US
            at_us += chance.randrange(_SECOND_US)

    def _sitting(self) -> _Sitting:
        chance = self._chance
        (habit,) = chance.choices(HABITS, [it.weight for it in HABITS])
        asked = chance.choice(habit.models)
        named = habit.named_sessions
        return _Sitting(
            habit,
            project=chance.choice(habit.projects),
            asked=asked,
            model=chance.choice(_AUTO) if asked == "auto" else asked,
            session=f"ses_{chance.getrandbits(64):016x}" if named else "",
            conversation=str(UUID(int=chance.getrandbits(128), version=4)) if named else "",
        )

    def _request(
        self, sitting: _Sitting, at_us: int, prompt: int, before: RequestRow | None
    ) -> RequestRow:
        chance, habit, place = self._chance, sitting.habit, sitting.place
        status, http = chance.choice(_ENDINGS)
        reached = status not in (Status.INVALID_REQUEST, Status.AUTH)
        told = reached and status in (Status.OK, Status.CLIENT_CANCELLED)
        tokens = self._tokens(prompt, cached=before is not None) if told else Tokens()
        first = int(chance.lognormvariate(12.8 if place.local else 13.4, 0.5))
        queue = int(chance.expovariate(1 / 40_000)) if chance.random() < 0.15 else 0
        upstream = first + int((tokens.completion or 0) / place.speed * _SECOND_US)
        failed = before is not None and before.status in (Status.TIMEOUT, Status.UPSTREAM_ERROR)
        row = RequestRow(
            request_id=self._id(at_us),
            ts_us=at_us,
            status=status,
            origin=Origin.INTERNAL if chance.random() < 0.03 else Origin.CLIENT,
            user=habit.user,
            client=habit.client,
            endpoint=habit.endpoint,
            project=sitting.project,
            session=sitting.session,
            conversation=sitting.conversation,
            model_requested=sitting.asked,
            http_code=http,
            error_reason="" if told else status.name,
            finish_reason="stop" if status is Status.OK else "",
            streamed=habit.streamed,
            tool_calls=chance.randrange(3) if habit.length[1] > 100 else 0,
            new_messages=2,
            tokens=tokens,
            usage_source=UsageSource.UPSTREAM if told else UsageSource.MISSING,
            duration_us=upstream + queue + chance.randint(900, 2600),
            first_token_us=first + queue if told and habit.streamed else None,
            queue_us=queue,
            user_source=1,
            project_source=7,
            session_source=10,
            retry_of=before.request_id if before and failed else None,
        )
        return self._answered(row, sitting, upstream) if reached else row

    def _tokens(self, prompt: int, *, cached: bool) -> Tokens:
        completion = int(self._chance.lognormvariate(5.2, 1.0)) + 1
        return Tokens(
            prompt=prompt,
            completion=completion,
            total=prompt + completion,
            cached=int(prompt * 0.9) if cached else None,
        )

    def _answered(self, row: RequestRow, sitting: _Sitting, upstream: int) -> RequestRow:
        """Add what a backend did, at the first try or at the second, and what that costs."""
        place = sitting.place
        error = "" if row.tokens.completion else "the backend gave up"
        last = Attempt(
            backend=place.backend,
            model=sitting.model,
            status=row.status,
            http_code=row.http_code,
            duration_us=upstream,
            error=error,
        )
        lost = replace(
            last,
            backend=_GAMING,
            status=Status.UPSTREAM_ERROR,
            http_code=503,
            duration_us=self._chance.randint(1000, 90_000),
            error="503 Service Unavailable",
        )
        attempts = (lost, last) if self._chance.random() < 0.015 else (last,)
        return replace(
            row,
            model_used=sitting.model,
            backend=place.backend,
            local=place.local,
            upstream_us=sum(each.duration_us for each in attempts),
            device_watts=320.0 if place.local else None,
            attempts=attempts,
            **_costs(place, row),
        )

    def _id(self, at_us: int) -> UUID:
        random_bits = self._chance.getrandbits(62)
        return UUID(int=at_us // 1000 << 80 | 7 << 76 | 2 << 62 | random_bits)


def _costs(place: Place, row: RequestRow) -> dict[str, Any]:
    """Price what was told: nothing at home, and there what it would have cost elsewhere."""
    tokens_in, tokens_out = row.tokens.prompt, row.tokens.completion
    if tokens_in is None or tokens_out is None:
        return {}
    month = row.ts_us // (30 * DAY_US) % 12 + 1
    return {
        "cost_nano": tokens_in * place.price_in + tokens_out * place.price_out,
        "cost_source": CostSource.FREE if place.local else CostSource.COMPUTED,
        "ref1_nano": tokens_in * 70 + tokens_out * 270 if place.local else None,
        "ref2_nano": tokens_in * 3000 + tokens_out * 15000 if place.local else None,
        "price_version": f"2026-{month:02}-01",
    }
