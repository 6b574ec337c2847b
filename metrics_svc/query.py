"""What is asked of the ledger, and what it answers.

Sums, numbers of different ones and distributions, of any range of time, told apart by any
dimensions. Averages and ratios are made of sums, by the reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from metrics_svc.histograms import Distribution, Spread
from metrics_svc.model import Scope, Status

# Fields of a request that sums can be told apart and filtered by. Texts are `LABELS`; the
# others are numbers: of enums, or 0 and 1.
LABELS = (
    *("user", "project", "key", "client", "endpoint", "model_requested", "model_used"),
    *("backend", "error_reason", "price_version"),
)
NUMBERS = ("cost_source", "local", "origin", "status", "http_code", "streamed", "usage_source")
DIMENSIONS = (*LABELS, *NUMBERS)

# Those that different sessions can be counted by, and those of distributions.
WHO = ("user", "project", "key", "client")
LANE = ("user", "project", "key", "model_used", "backend", "local", "streamed")

# A text for `LABELS`, else a number.
Value = Any
Filters = Mapping[str, Sequence[Value]]

_EVERYTHING = Scope()
_UTC = ZoneInfo("UTC")


class Grain(Enum):
    """How finely time is told apart, and what stands for each part of it.

    Days are ordinals of the query's zone, weeks their Monday and months their first day;
    quarters and hours the number since 1970 of the bucket they begin with.
    """

    QUARTER = "quarter"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    # 0 is Monday.
    WEEKDAY = "weekday"
    HOUR_OF_DAY = "hour_of_day"
    # 24 times the weekday, and the hour.
    HOUR_OF_WEEK = "hour_of_week"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which requests, and how they are told apart.

    A filter leaves only those of one of its values; the empty text is none. Ranges begin and
    end anywhere; where requests were already deleted, a quarter of an hour counts whole, to
    the range that it begins in (for distributions an hour).
    """

    scope: Scope = _EVERYTHING
    filters: Filters = field(default_factory=dict)
    dimensions: tuple[str, ...] = ()
    grain: Grain | None = None
    zone: ZoneInfo = _UTC


@dataclass(frozen=True, slots=True)
class SumRow:
    """The sums of one part: `time` as its grain says, None without one.

    `keys` are in the order of the question's dimensions, `sums` in that of the measures.
    """

    time: int | None
    keys: tuple[Value, ...]
    sums: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Distinct:
    """How many different ones took part in activity.

    `loose_conversations` are those of requests outside any session; `inferred_sessions` are
    the runs of requests with neither.
    """

    users: int = 0
    projects: int = 0
    conversations: int = 0
    sessions: int = 0
    loose_conversations: int = 0
    inferred_sessions: int = 0

    @property
    def all_sessions(self) -> int:
        """Sessions that were named, else conversations, else sittings."""
        return self.sessions + self.loose_conversations + self.inferred_sessions


@dataclass(frozen=True, slots=True)
class DistinctRow:
    """The different ones of one part, as in `SumRow`."""

    time: int | None
    keys: tuple[Value, ...]
    distinct: Distinct


@dataclass(frozen=True, slots=True)
class SpreadRow:
    """The distributions of one part: of answers that ended well and were not lair's own."""

    keys: tuple[Value, ...]
    spreads: Mapping[Spread, Distribution]


@dataclass(frozen=True, slots=True, kw_only=True)
class BusyRow:
    """How long a backend in the house worked, whose device draws `watts`, None unknown."""

    backend: str
    watts: float | None
    busy_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HopRow:
    """How often a try failed so, and another backend was asked that gave the answer."""

    backend: str
    model: str
    status: Status
    to_backend: str
    to_model: str
    count: int
    duration_us: int
