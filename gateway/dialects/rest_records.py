"""Counted requests as the JSON of `/metrics/recent`; they hold no content."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

from gateway.dialects.rest_reports import STATUS, StatusWord
from gateway.dialects.rest_types import Count, Milliseconds, Time, Usage, rfc3339, word, words
from gateway.dialects.usage import usage_json
from lair.common.v1.caller_pb2 import IDENTITY_SOURCE_UNSPECIFIED, IdentitySource
from lair.metrics.v1 import usage_pb2
from lair.metrics.v1.usage_pb2 import Origin, Status, UsageSource

_ORIGIN, _SOURCE, _IDENTITY = "ORIGIN_", "USAGE_SOURCE_", "IDENTITY_SOURCE_"
SourceWord = Annotated[
    str,
    Meta(description="What it was read from.", extra_json_schema=words(IdentitySource, _IDENTITY)),
]


class Attempt(Struct, frozen=True):
    """One try of one backend."""

    backend: str
    model: str
    status: StatusWord
    http_status: Annotated[int, Meta(description="The backend's own; 0 if it gave none.")]
    duration_ms: Milliseconds
    error: str | None


class RequestRecord(Struct, frozen=True):
    """What one request used, and how it ended."""

    request_id: str
    retry_of: Annotated[str | None, Meta(description="The request that this one repeats.")]
    time: Time | None
    user_id: str
    project: str
    session_id: str
    client: str
    user_source: SourceWord
    project_source: SourceWord
    session_source: SourceWord
    conversation_id: str
    endpoint: str
    origin: Annotated[str, Meta(extra_json_schema=words(Origin, _ORIGIN))]
    requested_model: str
    model: str
    backend: str
    local: bool
    status: StatusWord
    http_status: Annotated[int, Meta(description="What the client saw; 0 if unknown.")]
    error_reason: str | None
    streamed: bool
    tool_calls: Count
    usage: Usage | None
    usage_source: Annotated[str, Meta(extra_json_schema=words(UsageSource, _SOURCE))]
    duration_ms: Milliseconds | None
    first_token_ms: Milliseconds | None
    upstream_ms: Milliseconds | None
    queue_ms: Milliseconds | None
    attempts: list[Attempt]
    new_messages: Count
    finish_reason: str | None
    billed_usd: float | None


class RecordPage(Struct, frozen=True):
    """Counted requests, the latest first."""

    requests: list[RequestRecord]
    next_page_token: str | None


def records_json(records: Iterable[usage_pb2.RequestRecord], next_page_token: str) -> RecordPage:
    """Write a page of counted requests."""
    return RecordPage([record_json(record) for record in records], next_page_token or None)


def record_json(record: usage_pb2.RequestRecord) -> RequestRecord:
    """Write a counted request."""
    caller = record.caller
    return RequestRecord(
        request_id=record.request_id,
        retry_of=record.retry_of or None,
        time=rfc3339(record.request_time),
        user_id=caller.user_id,
        project=caller.project,
        session_id=caller.session_id,
        client=caller.client,
        user_source=_source(caller.user_source),
        project_source=_source(caller.project_source),
        session_source=_source(caller.session_source),
        conversation_id=record.conversation_id,
        endpoint=record.endpoint,
        origin=word(Origin.Name(record.origin), _ORIGIN),
        requested_model=record.requested_model,
        model=record.model,
        backend=record.backend,
        local=record.local,
        status=word(Status.Name(record.status), STATUS),
        http_status=record.http_status,
        error_reason=record.error_reason or None,
        streamed=record.streamed,
        tool_calls=record.tool_call_count,
        usage=usage_json(record.usage) if record.HasField("usage") else None,
        usage_source=word(UsageSource.Name(record.usage_source), _SOURCE),
        duration_ms=_ms(record, "duration_us"),
        first_token_ms=_ms(record, "first_token_us"),
        upstream_ms=_ms(record, "upstream_us"),
        queue_ms=_ms(record, "queue_us"),
        attempts=[_attempt_json(attempt) for attempt in record.attempts],
        new_messages=record.new_message_count,
        finish_reason=record.finish_reason or None,
        billed_usd=record.billed_nano_usd / 1e9 if record.HasField("billed_nano_usd") else None,
    )


def _source(source: IdentitySource.ValueType) -> str:
    known = source in IdentitySource.values()  # else of a newer lair
    return word(IdentitySource.Name(source if known else IDENTITY_SOURCE_UNSPECIFIED), _IDENTITY)


def _attempt_json(attempt: usage_pb2.Attempt) -> Attempt:
    return Attempt(
        backend=attempt.backend,
        model=attempt.model,
        status=word(Status.Name(attempt.status), STATUS),
        http_status=attempt.http_status,
        duration_ms=attempt.duration_us / 1000,
        error=attempt.error or None,
    )


def _ms(record: usage_pb2.RequestRecord, field: str) -> float | None:
    microseconds: int = getattr(record, field)
    return microseconds / 1000 if record.HasField(field) else None  # type: ignore[arg-type]  # a literal in the stub
