"""The words of metrics: requests, the scope of a report, what a report is made of.

Times are UTC microseconds since 1970, durations microseconds. `None` is unknown,
which is not 0; an empty text is unknown or none. Days are ordinals, as in
`datetime.date.toordinal`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

BUCKET_US = 15 * 60 * 1_000_000


class Status(IntEnum):
    """How a request, or a try of a backend, ended. The numbers are stored."""

    OK = 1
    CLIENT_CANCELLED = 2
    TIMEOUT = 3
    RATE_LIMITED = 4
    UPSTREAM_ERROR = 5
    NO_BACKEND = 6
    INVALID_REQUEST = 7
    AUTH = 8
    INTERNAL_ERROR = 9


class Origin(IntEnum):
    """On whose behalf a request was made. The numbers are stored."""

    CLIENT = 1
    INTERNAL = 2
    IMPORT = 3


class UsageSource(IntEnum):
    """Where the number of tokens comes from. The numbers are stored."""

    UPSTREAM = 1
    UPSTREAM_TIMINGS = 2
    COUNTED = 3
    ESTIMATED = 4
    MISSING = 5


class CostSource(IntEnum):
    """Where the cost of a request comes from. The numbers are stored."""

    UNPRICED = 0
    BILLED = 1
    # Of prices that its user wrote down.
    CONFIGURED = 2
    # Of known prices.
    COMPUTED = 3
    # The backend costs nothing but electricity.
    FREE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Tokens of one request.

    `prompt` includes `cached`, `completion` includes `reasoning`.
    """

    prompt: int | None = None
    completion: int | None = None
    total: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of one backend; `http_code` 0 is none, `error` is for a person."""

    backend: str
    model: str
    status: Status
    http_code: int
    duration_us: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """What one request used, and how it ended."""

    request_id: UUID
    ts_us: int
    status: Status
    origin: Origin = Origin.CLIENT
    user: str = ""
    project: str = ""
    session: str = ""
    conversation: str = ""
    key: str = ""
    client: str = ""
    endpoint: str = ""
    model_requested: str = ""
    model_used: str = ""
    backend: str = ""
    local: bool = False
    http_code: int = 0
    error_reason: str = ""
    finish_reason: str = ""
    streamed: bool = False
    tool_calls: int = 0
    new_messages: int = 0
    tokens: Tokens = Tokens()
    usage_source: UsageSource = UsageSource.MISSING
    duration_us: int | None = None
    first_token_us: int | None = None
    upstream_us: int | None = None
    queue_us: int | None = None
    billed_nano: int | None = None
    # What counts as its cost; None is unknown. Then what the same tokens would have cost at
    # two prices to compare with, and which prices these were.
    cost_nano: int | None = None
    cost_source: CostSource = CostSource.UNPRICED
    ref1_nano: int | None = None
    ref2_nano: int | None = None
    price_version: str = ""
    # What the backend's device draws while it works.
    device_watts: float | None = None
    # What these were read from: numbers of the contract's IdentitySource, 0 is unknown.
    user_source: int = 0
    project_source: int = 0
    session_source: int = 0
    # The request that this one repeats, which then is a try of this one.
    retry_of: UUID | None = None
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which requests a report is about: from `start_us`, before `end_us`."""

    user: str = ""
    project: str = ""
    key: str = ""
    start_us: int | None = None
    end_us: int | None = None


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the list of requests, the latest first."""

    ts_us: int
    row: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some requests, the latest first, and where the next page begins."""

    rows: tuple[RequestRow, ...]
    next: Position | None
