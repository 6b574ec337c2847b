"""Reports as the JSON of `/metrics/*`: plain numbers, null for what is unknown."""

from __future__ import annotations

from typing import Any

from gateway.dialects.rest_conversations import rfc3339
from gateway.dialects.usage import usage_json
from lair.metrics.v1.report_service_pb2 import (
    DayActivity,
    GetDashboardResponse,
    TokenTotals,
    UsageShare,
)
from lair.metrics.v1.usage_pb2 import Attempt, Origin, RequestRecord, Status, UsageSource


def dashboard_json(dashboard: GetDashboardResponse) -> dict[str, Any]:
    """Write the summary a dashboard shows first."""
    busiest = dashboard.most_active_day if dashboard.HasField("most_active_day") else None
    return {
        "time_zone": dashboard.time_zone,
        "started_date": dashboard.started_date or None,
        "active_days": dashboard.active_day_count,
        "most_active_day": _day_json(busiest) if busiest is not None else None,
        "days": [_day_json(day) for day in dashboard.days],
        "models": [_share_json(share) for share in dashboard.models],
        "backends": [_share_json(share) for share in dashboard.backends],
        "locations": [_share_json(share) for share in dashboard.locations],
        "sessions": dashboard.session_count,
        "conversations": dashboard.conversation_count,
        "messages": dashboard.message_count,
        "tokens": _tokens_json(dashboard.tokens),
        "projects": dashboard.project_count,
        "longest_streak_days": dashboard.longest_streak_days,
        "current_streak_days": dashboard.current_streak_days,
        "requests": dashboard.request_count,
        "statuses": {
            _word(Status.Name(count.status), "STATUS_"): count.request_count
            for count in dashboard.statuses
        },
    }


def record_json(record: RequestRecord) -> dict[str, Any]:
    """Write one counted request; it holds no content."""
    caller = record.caller
    return {
        "request_id": record.request_id,
        "time": rfc3339(record.request_time),
        "user_id": caller.user_id,
        "project": caller.project,
        "session_id": caller.session_id,
        "client": caller.client,
        "conversation_id": record.conversation_id,
        "endpoint": record.endpoint,
        "origin": _word(Origin.Name(record.origin), "ORIGIN_"),
        "requested_model": record.requested_model,
        "model": record.model,
        "backend": record.backend,
        "local": record.local,
        "status": _word(Status.Name(record.status), "STATUS_"),
        "http_status": record.http_status,
        "error_reason": record.error_reason or None,
        "streamed": record.streamed,
        "tool_calls": record.tool_call_count,
        "usage": usage_json(record.usage) if record.HasField("usage") else None,
        "usage_source": _word(UsageSource.Name(record.usage_source), "USAGE_SOURCE_"),
        "duration_ms": _ms(record, "duration_us"),
        "first_token_ms": _ms(record, "first_token_us"),
        "upstream_ms": _ms(record, "upstream_us"),
        "queue_ms": _ms(record, "queue_us"),
        "attempts": [_attempt_json(attempt) for attempt in record.attempts],
        "new_messages": record.new_message_count,
        "finish_reason": record.finish_reason or None,
        "billed_usd": record.billed_nano_usd / 1e9 if record.HasField("billed_nano_usd") else None,
    }


def _day_json(day: DayActivity) -> dict[str, Any]:
    return {"date": day.date, "requests": day.request_count, "tokens": day.token_count}


def _share_json(share: UsageShare) -> dict[str, Any]:
    return {
        "name": share.name,
        "requests": share.request_count,
        "tokens": share.token_count,
        "ratio": share.request_ratio,
    }


def _tokens_json(tokens: TokenTotals) -> dict[str, Any]:
    return {
        "total": tokens.total_count,
        "prompt": tokens.prompt_count,
        "completion": tokens.completion_count,
        "cached": tokens.cached_count,
        "reasoning": tokens.reasoning_count,
        "known_ratio": tokens.known_ratio,
    }


def _attempt_json(attempt: Attempt) -> dict[str, Any]:
    return {
        "backend": attempt.backend,
        "model": attempt.model,
        "status": _word(Status.Name(attempt.status), "STATUS_"),
        "http_status": attempt.http_status,
        "duration_ms": attempt.duration_us / 1000,
        "error": attempt.error or None,
    }


def _ms(record: RequestRecord, field: str) -> float | None:
    microseconds: int = getattr(record, field)
    return microseconds / 1000 if record.HasField(field) else None  # type: ignore[arg-type]  # a literal in the stub


def _word(name: str, prefix: str) -> str:
    """Turn an enum's name into the word a person reads."""
    return name.removeprefix(prefix).lower()
