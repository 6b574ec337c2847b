"""One request's record as spans and measurements. Pure; no content, and nobody's name.

A SERVER span for the request, in it a CLIENT span for each try of a backend, and one for
the search of memory. Tokens that are estimated are told by no measurement, as the
conventions ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

from lair.metrics.v1.usage_pb2 import (
    STATUS_OK,
    USAGE_SOURCE_UPSTREAM,
    USAGE_SOURCE_UPSTREAM_TIMINGS,
    Attempt,
    Origin,
    RequestRecord,
    Status,
    UsageSource,
)
from router_svc.live import Ended
from router_svc.otlp import names
from svckit.times import to_us

Value: TypeAlias = str | int | float | bool | tuple[str, ...]
Attributes: TypeAlias = dict[str, Value]

_TOLD = (USAGE_SOURCE_UPSTREAM, USAGE_SOURCE_UPSTREAM_TIMINGS)
_OPERATIONS = {
    "/v1/completions": names.TEXT_COMPLETION,
    "/v1/embeddings": names.EMBEDDINGS,
}
_SERVER_FAULT = 500
_PORTS = {"http": 80, "https": 443}
_US = 1e6


class Kind(Enum):
    """On which side of a call a span is."""

    SERVER = "server"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time; from `start_us` since 1970 UTC, for `duration_us`."""

    name: str
    kind: Kind
    start_us: int
    duration_us: int
    attributes: Attributes
    error: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """A request: its own span, and those within it."""

    request_id: str
    whole: Span
    parts: tuple[Span, ...]


class Measurement(NamedTuple):
    """A value for an instrument."""

    instrument: str
    value: float
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is behind a backend's name: its kind of server or provider, and where it is."""

    provider: str
    url: str = ""
    place: Attributes = field(init=False)

    def __post_init__(self) -> None:
        """Read the address once."""
        parts = urlsplit(self.url)
        place: Attributes = {}
        if parts.hostname:
            port = parts.port or _PORTS.get(parts.scheme, 0)
            place = {names.SERVER_ADDRESS: parts.hostname, names.SERVER_PORT: port}
        object.__setattr__(self, "place", place)


PeerOf = Callable[[str], Peer]


def spans_of(ended: Ended, peer_of: PeerOf) -> Told:
    """Return the spans of a request."""
    record = ended.record
    began = to_us(record.request_time)
    parts = [_try(record, place, began, peer_of) for place in range(len(record.attempts))]
    if ended.recall_us:
        since, duration = ended.recall_us
        about: Attributes = {names.OPERATION_NAME: names.SEARCH_MEMORY, names.PROVIDER_NAME: "lair"}
        parts.insert(0, Span(names.SEARCH_MEMORY, Kind.CLIENT, began + since, duration, about))
    return Told(record.request_id, _whole(record, began), tuple(parts))


def measurements_of(record: RequestRecord, peer_of: PeerOf) -> Iterator[Measurement]:
    """Yield the values of a request: for each try its duration, of the answer the rest."""
    for attempt in record.attempts:
        about = _about(record, attempt, peer_of)
        if failed := _error_of(attempt):
            about[names.ERROR_TYPE] = failed
        yield Measurement(names.OPERATION_DURATION, attempt.duration_us / _US, about)
    if not record.attempts:
        return
    about = _about(record, record.attempts[-1], peer_of) | {names.RESPONSE_MODEL: record.model}
    if record.usage_source in _TOLD:
        usage = record.usage
        for kind, name in ((names.INPUT, "prompt_tokens"), (names.OUTPUT, "completion_tokens")):
            if usage.HasField(name):  # type: ignore[arg-type]  # a literal in the stub
                value = float(getattr(usage, name))
                yield Measurement(names.TOKEN_USAGE, value, about | {names.TOKEN_TYPE: kind})
    if (seconds := _first_chunk_seconds(record)) is not None:
        yield Measurement(names.TIME_TO_FIRST_CHUNK, seconds, about)


def _whole(record: RequestRecord, began: int) -> Span:
    http = record.endpoint.startswith("/")
    about: Attributes = {
        names.REQUEST_ID: record.request_id,
        names.ORIGIN: _word(Origin.Name(record.origin)),
        names.QUEUE_SECONDS: record.queue_us / _US,
    }
    if http:
        about |= {names.HTTP_METHOD: "POST", names.HTTP_ROUTE: record.endpoint}
        about[names.HTTP_STATUS] = record.http_status
    elif record.endpoint == "grpc":
        about[names.RPC_SYSTEM] = "grpc"
    if record.caller.project:
        about[names.PROJECT] = record.caller.project
    error = ""
    if record.http_status >= _SERVER_FAULT:
        error = about[names.ERROR_TYPE] = _word(Status.Name(record.status))
    name = f"POST {record.endpoint}" if http else record.endpoint
    return Span(name, Kind.SERVER, began, record.duration_us, about, str(error))


def _try(record: RequestRecord, place: int, began: int, peer_of: PeerOf) -> Span:
    attempt = record.attempts[place]
    about = _about(record, attempt, peer_of)
    about |= {names.BACKEND: attempt.backend, names.REQUEST_STREAM: record.streamed}
    if record.conversation_id:
        about[names.CONVERSATION_ID] = record.conversation_id
    error = _error_of(attempt)
    if error:
        about[names.ERROR_TYPE] = error
    if place == len(record.attempts) - 1:
        about |= _of_answer(record)
    name = f"{about[names.OPERATION_NAME]} {attempt.model}"
    start = began + attempt.begin_us
    return Span(name, Kind.CLIENT, start, attempt.duration_us, about, error)


def _of_answer(record: RequestRecord) -> Attributes:
    """Say what came of the last try."""
    about: Attributes = {
        names.RESPONSE_MODEL: record.model,
        names.USAGE_SOURCE: _word(UsageSource.Name(record.usage_source), 2),
    }
    if record.finish_reason:
        about[names.RESPONSE_FINISH_REASONS] = (record.finish_reason,)
    if (seconds := _first_chunk_seconds(record)) is not None:
        about[names.RESPONSE_TIME_TO_FIRST_CHUNK] = seconds
    if record.usage_source in _TOLD:
        usage = record.usage
        about |= {
            name: getattr(usage, of)
            for name, of in _USAGE.items()
            if usage.HasField(of)  # type: ignore[arg-type]  # a literal in the stub
        }
    return about


_USAGE: Mapping[str, str] = {
    names.USAGE_INPUT_TOKENS: "prompt_tokens",
    names.USAGE_OUTPUT_TOKENS: "completion_tokens",
    names.USAGE_CACHE_READ: "cached_tokens",
    names.USAGE_CACHE_CREATION: "cache_write_tokens",
    names.USAGE_REASONING: "reasoning_tokens",
}


def _about(record: RequestRecord, attempt: Attempt, peer_of: PeerOf) -> Attributes:
    """Say what is asked of whom: values of which there are few."""
    peer = peer_of(attempt.backend)
    return {
        names.OPERATION_NAME: _OPERATIONS.get(record.endpoint, names.CHAT),
        names.PROVIDER_NAME: peer.provider,
        names.REQUEST_MODEL: attempt.model,
        **peer.place,
    }


def _error_of(attempt: Attempt) -> str:
    """Name the class of a failure; empty where there was none."""
    if attempt.status == STATUS_OK:
        return ""
    return str(attempt.http_status) if attempt.http_status else _word(Status.Name(attempt.status))


def _first_chunk_seconds(record: RequestRecord) -> float | None:
    """Return how long the backend that answered took to begin."""
    if not (record.streamed and record.HasField("first_token_us") and record.attempts):
        return None
    return max(0, record.first_token_us - record.attempts[-1].begin_us) / _US


def _word(name: str, prefixes: int = 1) -> str:
    """Return an enum's name without what all of its kind begin with."""
    return name.split("_", prefixes)[-1].lower()
