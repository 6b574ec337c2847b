"""Requests, and which of them a report is about, from and to the contract's messages."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import TypeVar
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from lair.common.v1.caller_pb2 import Caller, IdentitySource
from lair.common.v1.chat_pb2 import Usage
from lair.metrics.v1 import report_service_pb2 as pb
from lair.metrics.v1 import usage_pb2
from metrics_svc.ingest import RefusedError
from metrics_svc.keys import key_of, uuid_of
from metrics_svc.labels import bounded
from metrics_svc.model import Attempt, Origin, RequestRow, Scope, Status, Tokens, UsageSource
from svckit.errors import invalid_field
from svckit.times import to_timestamp, to_us

_TOKENS = ("prompt", "completion", "total", "cached", "cache_write", "reasoning")
_NO_TOKENS = Tokens()
# Values of the contract; what was not sent stands for something.
_STATUSES = {it.value: it for it in Status}
_ORIGINS = {0: Origin.CLIENT} | {it.value: it for it in Origin}
_SOURCES = {0: UsageSource.MISSING} | {it.value: it for it in UsageSource}

# The last that a protobuf timestamp may hold: 9999-12-31T23:59:59Z.
_LAST_SECOND = 253_402_300_799

_Value = TypeVar("_Value", bound=IntEnum)


def to_row(record: usage_pb2.RequestRecord) -> RequestRow:
    """Read a record. Raises `RefusedError` where it can never be counted."""
    if not record.HasField("request_time"):
        raise RefusedError("request_time is missing; send when the request came in")
    if not record.request_id:
        raise RefusedError("request_id is empty; send the request's UUIDv7")
    caller = record.caller
    asked_us = to_us(record.request_time)
    request_id = key_of(record.request_id, caller.user_id, asked_us)
    known = record.HasField
    return RequestRow(
        request_id=request_id,
        ts_us=asked_us,
        user=caller.user_id,
        project=caller.project,
        session=caller.session_id,
        client=caller.client,
        key=caller.key_id,
        conversation=record.conversation_id,
        endpoint=record.endpoint,
        origin=_enum(_ORIGINS, record.origin, "origin"),
        model_requested=record.requested_model,
        model_used=record.model,
        backend=record.backend,
        local=record.local,
        status=_enum(_STATUSES, record.status, "status"),
        http_code=record.http_status,
        error_reason=record.error_reason,
        finish_reason=record.finish_reason,
        streamed=record.streamed,
        tool_calls=record.tool_call_count,
        new_messages=record.new_message_count,
        tokens=_tokens(record.usage) if known("usage") else _NO_TOKENS,
        usage_source=_enum(_SOURCES, record.usage_source, "usage_source"),
        duration_us=record.duration_us if known("duration_us") else None,
        first_token_us=record.first_token_us if known("first_token_us") else None,
        upstream_us=record.upstream_us if known("upstream_us") else None,
        queue_us=record.queue_us if known("queue_us") else None,
        billed_nano=record.billed_nano_usd if known("billed_nano_usd") else None,
        device_watts=record.device_watts if known("device_watts") else None,
        user_source=caller.user_source,
        project_source=caller.project_source,
        session_source=caller.session_source,
        retry_of=_repeated(record, request_id) if record.retry_of else None,
        attempts=tuple(_attempt(attempt, n) for n, attempt in enumerate(record.attempts)),
    )


def to_record(row: RequestRow) -> usage_pb2.RequestRecord:
    """Write a request as it was sent; only a backend's unknown fields of usage are gone."""
    tokens = {f"{name}_tokens": getattr(row.tokens, name) for name in _TOKENS}
    return usage_pb2.RequestRecord(
        request_id=str(row.request_id),
        request_time=to_timestamp(row.ts_us),
        caller=_caller(row),
        conversation_id=row.conversation,
        endpoint=row.endpoint,
        origin=usage_pb2.Origin.ValueType(row.origin),
        requested_model=row.model_requested,
        model=row.model_used,
        backend=row.backend,
        local=row.local,
        status=usage_pb2.Status.ValueType(row.status),
        http_status=row.http_code,
        error_reason=row.error_reason,
        finish_reason=row.finish_reason,
        streamed=row.streamed,
        tool_call_count=row.tool_calls,
        new_message_count=row.new_messages,
        usage=Usage(**tokens) if any(n is not None for n in tokens.values()) else None,
        usage_source=usage_pb2.UsageSource.ValueType(row.usage_source),
        duration_us=row.duration_us,
        first_token_us=row.first_token_us,
        upstream_us=row.upstream_us,
        queue_us=row.queue_us,
        billed_nano_usd=row.billed_nano,
        device_watts=row.device_watts,
        retry_of=str(row.retry_of or ""),
        attempts=[
            usage_pb2.Attempt(
                backend=attempt.backend,
                model=attempt.model,
                status=usage_pb2.Status.ValueType(attempt.status),
                http_status=attempt.http_code,
                duration_us=attempt.duration_us,
                error=attempt.error,
            )
            for attempt in row.attempts
        ],
    )


def to_scope(scope: pb.ReportScope) -> Scope:
    """Read the scope of a report, all but its zone."""
    start_us, end_us = _time(scope, "start_time"), _time(scope, "end_time")
    if start_us is not None and end_us is not None and end_us < start_us:
        raise invalid_field(
            "scope.end_time", "scope.end_time is before scope.start_time; send a later one"
        )
    return Scope(
        user=bounded(scope.user_id),
        project=bounded(scope.project),
        key=bounded(scope.key_id),
        start_us=start_us,
        end_us=end_us,
    )


def _caller(row: RequestRow) -> Caller:
    return Caller(
        user_id=row.user,
        project=row.project,
        session_id=row.session,
        client=row.client,
        key_id=row.key,
        user_source=IdentitySource.ValueType(row.user_source),
        project_source=IdentitySource.ValueType(row.project_source),
        session_source=IdentitySource.ValueType(row.session_source),
    )


def _repeated(record: usage_pb2.RequestRecord, own: UUID) -> UUID | None:
    """Read which request a record repeats; none repeats itself.

    The key of an id that is no UUID was made of a time that this record does not have, so
    what it stands for cannot be found again: both are counted.
    """
    repeated = uuid_of(record.retry_of)
    return repeated if repeated != own else None


def _attempt(attempt: usage_pb2.Attempt, number: int) -> Attempt:
    return Attempt(
        backend=attempt.backend,
        model=attempt.model,
        status=_enum(_STATUSES, attempt.status, "attempts[{}].status", number),
        http_code=attempt.http_status,
        duration_us=attempt.duration_us,
        error=attempt.error,
    )


def _time(scope: pb.ReportScope, field: str) -> int | None:
    if not scope.HasField(field):  # type: ignore[arg-type]  # its stub wants the literal name
        return None
    time: Timestamp = getattr(scope, field)
    if not 0 <= time.seconds <= _LAST_SECOND:
        raise invalid_field(
            f"scope.{field}", f"scope.{field} is not between 1970 and 9999; send a time that is"
        )
    return to_us(time)


def _tokens(usage: Usage) -> Tokens:
    known = usage.HasField
    return Tokens(
        prompt=usage.prompt_tokens if known("prompt_tokens") else None,
        completion=usage.completion_tokens if known("completion_tokens") else None,
        total=usage.total_tokens if known("total_tokens") else None,
        cached=usage.cached_tokens if known("cached_tokens") else None,
        cache_write=usage.cache_write_tokens if known("cache_write_tokens") else None,
        reasoning=usage.reasoning_tokens if known("reasoning_tokens") else None,
    )


def _enum(values: Mapping[int, _Value], number: int, field: str, *place: int) -> _Value:
    try:
        return values[number]
    except KeyError as error:
        name = field.format(*place)
        raise RefusedError(f"{name} is {number}, which is none of the contract's") from error
