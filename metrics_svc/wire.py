"""The contract's messages to and from the words of metrics."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, TypeVar
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
from metrics_svc.reports.dashboard import Dashboard, DayActivity
from metrics_svc.reports.latency import Latency, LatencyShare, Percentiles
from metrics_svc.reports.shares import Share, TokenTotals
from metrics_svc.zones import iso_date
from svckit.errors import invalid_field
from svckit.times import to_timestamp, to_us

_TOKENS = ("prompt", "completion", "total", "cached", "cache_write", "reasoning")
_DURATIONS = ("duration_us", "first_token_us", "upstream_us", "queue_us")

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
        origin=_enum(Origin, record.origin or Origin.CLIENT, "origin"),
        model_requested=record.requested_model,
        model_used=record.model,
        backend=record.backend,
        local=record.local,
        status=_enum(Status, record.status, "status"),
        http_code=record.http_status,
        error_reason=record.error_reason,
        finish_reason=record.finish_reason,
        streamed=record.streamed,
        tool_calls=record.tool_call_count,
        new_messages=record.new_message_count,
        tokens=Tokens(**{name: _known(record.usage, f"{name}_tokens") for name in _TOKENS}),
        usage_source=_enum(UsageSource, record.usage_source or UsageSource.MISSING, "usage_source"),
        **{name: _known(record, name) for name in _DURATIONS},
        billed_nano=_known(record, "billed_nano_usd"),
        device_watts=record.device_watts if record.HasField("device_watts") else None,
        user_source=caller.user_source,
        project_source=caller.project_source,
        session_source=caller.session_source,
        retry_of=_repeated(record, request_id),
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


def to_dashboard(board: Dashboard) -> pb.GetDashboardResponse:
    """Write the dashboard."""
    return pb.GetDashboardResponse(
        time_zone=board.zone,
        started_date="" if board.started is None else iso_date(board.started),
        active_day_count=len(board.days),
        most_active_day=_day(board.most_active) if board.most_active else None,
        days=[_day(day) for day in board.days],
        models=[_share(share) for share in board.models],
        backends=[_share(share) for share in board.backends],
        locations=[_share(share) for share in board.locations],
        session_count=board.sessions,
        message_count=board.messages,
        tokens=_token_totals(board.tokens),
        project_count=board.projects,
        longest_streak_days=board.streaks.longest,
        current_streak_days=board.streaks.current,
        request_count=board.requests,
        statuses=[
            pb.StatusCount(status=usage_pb2.Status.ValueType(status), request_count=count)
            for status, count in board.statuses
        ],
        conversation_count=board.conversations,
    )


def to_latency(latency: Latency) -> pb.GetLatencyResponse:
    """Write how fast answers were."""
    return pb.GetLatencyResponse(
        total=_latency_share(latency.total),
        models=[_latency_share(share) for share in latency.models],
        backends=[_latency_share(share) for share in latency.backends],
    )


def _day(day: DayActivity) -> pb.DayActivity:
    return pb.DayActivity(
        date=iso_date(day.day), request_count=day.requests, token_count=day.tokens
    )


def _share(share: Share) -> pb.UsageShare:
    return pb.UsageShare(
        name=share.name,
        request_count=share.requests,
        token_count=share.tokens,
        request_ratio=share.ratio,
    )


def _latency_share(share: LatencyShare) -> pb.LatencyShare:
    return pb.LatencyShare(
        name=share.name,
        request_count=share.requests,
        duration_ms=_percentiles(share.duration_ms),
        first_token_ms=_percentiles(share.first_token_ms),
        queue_ms=_percentiles(share.queue_ms),
        tokens_per_second=_percentiles(share.tokens_per_second),
    )


def _percentiles(values: Percentiles) -> pb.Percentiles:
    return pb.Percentiles(p50=values.p50, p90=values.p90, p95=values.p95, p99=values.p99)


def _token_totals(tokens: TokenTotals) -> pb.TokenTotals:
    return pb.TokenTotals(
        total_count=tokens.total,
        prompt_count=tokens.prompt,
        completion_count=tokens.completion,
        cached_count=tokens.cached,
        reasoning_count=tokens.reasoning,
        known_ratio=tokens.known_ratio,
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
        status=_enum(Status, attempt.status, f"attempts[{number}].status"),
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


def _enum(kind: type[_Value], number: int, field: str) -> _Value:
    try:
        return kind(number)
    except ValueError as error:
        raise RefusedError(f"{field} is {number}, which is none of the contract's") from error


def _known(message: Any, field: str) -> int | None:
    return getattr(message, field) if message.HasField(field) else None
