"""All a dashboard is made of, read from the ledger at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from metrics_svc.model import Scope, Status
from metrics_svc.query import Distinct, Grain, Question, SumRow
from metrics_svc.reports.cost import COST_SUMS, NO_COST, Cost, cost_of
from metrics_svc.storage.base import Ledger

# A backend told the tokens by usage (1), by timings (2) or by its tokeniser (3).
_TOLD = (1, 2, 3)
_GROUPED = ("model_used", "backend", "local", "status", "usage_source")
_SUMS = (
    *("active", "requests", *COST_SUMS, "messages", "tool_calls", "tokens", "prompt_tokens"),
    *("completion_tokens", "cached_tokens", "reasoning_tokens"),
)
_COUNTS = 2 + len(COST_SUMS)


@dataclass(frozen=True, slots=True)
class DayActivity:
    """What happened on one local day."""

    day: int
    requests: int
    tokens: int
    cost: Cost = NO_COST


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupUse:
    """The use of all requests alike in model, backend, location and status.

    `requests` counts those of clients that are activity, `all_requests` every
    one, `told` those whose tokens the backend told. A request that was repeated is in
    none of them; its tokens and cost count.
    """

    model: str
    backend: str
    local: bool
    status: Status
    requests: int
    all_requests: int
    told: int
    cost: Cost = NO_COST
    messages: int
    tool_calls: int = 0
    tokens: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """All a dashboard is made of; `days` are those with activity, oldest first."""

    days: tuple[DayActivity, ...]
    groups: tuple[GroupUse, ...]
    distinct: Distinct


async def read_use(ledger: Ledger, scope: Scope, zone: ZoneInfo) -> Use:
    """Read what was used in `scope`, by the local days of `zone`."""
    days = await ledger.sums(
        Question(scope=scope, grain=Grain.DAY, zone=zone), ("active", "tokens", *COST_SUMS)
    )
    groups = await ledger.sums(Question(scope=scope, dimensions=_GROUPED), _SUMS)
    distincts = await ledger.distincts(Question(scope=scope))
    return Use(
        days=tuple(_days(days)),
        groups=tuple(_groups(groups)),
        distinct=distincts[0].distinct if distincts else Distinct(),
    )


def _days(rows: Iterable[SumRow]) -> Iterator[DayActivity]:
    for row in rows:
        active, tokens, *costs = row.sums
        if row.time is not None and active:
            yield DayActivity(row.time, active, tokens, cost_of(*costs))


def _groups(rows: Iterable[SumRow]) -> Iterator[GroupUse]:
    for row in rows:
        model, backend, local, status, source = row.keys
        active, requests, *costs = row.sums[:_COUNTS]
        yield GroupUse(
            model=str(model),
            backend=str(backend),
            local=bool(local),
            status=Status(status),
            requests=active,
            all_requests=requests,
            told=requests if source in _TOLD else 0,
            cost=cost_of(*costs),
            **dict(zip(_SUMS[_COUNTS:], row.sums[_COUNTS:], strict=True)),
        )
