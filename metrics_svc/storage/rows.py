"""Requests as rows of SQLite: what is bound to a statement, and what is read back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from metrics_svc.model import (
    Attempt,
    GroupUse,
    Origin,
    RequestRow,
    Status,
    Tokens,
    UsageSource,
)
from metrics_svc.storage.dims import Kind, Label

Ids = Mapping[Label, int]
Names = Mapping[int | None, str]

# Columns that hold the id of a text, each named like its field.
LABELS = {
    "user": Kind.USER,
    "project": Kind.PROJECT,
    "session": Kind.SESSION,
    "conversation": Kind.CONVERSATION,
    "key": Kind.KEY,
    "client": Kind.CLIENT,
    "endpoint": Kind.ENDPOINT,
    "model_requested": Kind.MODEL,
    "model_used": Kind.MODEL,
    "backend": Kind.BACKEND,
    "error_reason": Kind.ERROR_REASON,
    "finish_reason": Kind.FINISH_REASON,
}

# Columns that hold a field of the same name as it is.
_PLAIN = (
    *("ts_us", "origin", "status", "streamed", "local", "tool_calls", "new_messages"),
    *("usage_source", "duration_us", "first_token_us", "upstream_us", "queue_us", "billed_nano"),
    *("device_watts", "user_source", "project_source", "session_source"),
)

# Columns of the tokens, and their fields.
_TOKENS = {
    "tok_in": "prompt",
    "tok_out": "completion",
    "tok_total": "total",
    "tok_cached": "cached",
    "tok_cache_write": "cache_write",
    "tok_reasoning": "reasoning",
}


def labels_of(rows: Sequence[RequestRow]) -> Iterator[Label]:
    """Yield every text of `rows` that is stored as an id."""
    for row in rows:
        for name, kind in LABELS.items():
            yield kind, getattr(row, name)
        for attempt in row.attempts:
            yield Kind.BACKEND, attempt.backend
            yield Kind.MODEL, attempt.model


def request_parameters(row: RequestRow, ids: Ids) -> dict[str, Any]:
    """Return what one row of `request` is made of, by column."""
    return {
        "request_id": row.request_id.bytes,
        "http_code": row.http_code or None,
        "retry_of": row.retry_of.bytes if row.retry_of else None,
        **{name: getattr(row, name) for name in _PLAIN},
        **{column: getattr(row.tokens, name) for column, name in _TOKENS.items()},
        **{name: ids.get((kind, getattr(row, name))) for name, kind in LABELS.items()},
    }


def attempt_parameters(request: int, row: RequestRow, ids: Ids) -> Iterator[tuple[Any, ...]]:
    """Yield what the rows of `attempt` are made of, in the order of its columns."""
    for number, attempt in enumerate(row.attempts):
        yield (
            request,
            number,
            ids.get((Kind.BACKEND, attempt.backend)),
            ids.get((Kind.MODEL, attempt.model)),
            attempt.status,
            attempt.http_code or None,
            attempt.duration_us,
            attempt.error or None,
        )


def read_request(row: sqlite3.Row, attempts: Sequence[Attempt], names: Names) -> RequestRow:
    """Make a request of its row, its attempts and the texts of its ids."""
    return RequestRow(
        request_id=UUID(bytes=row["request_id"]),
        ts_us=row["ts_us"],
        status=Status(row["status"]),
        origin=Origin(row["origin"]),
        http_code=row["http_code"] or 0,
        streamed=bool(row["streamed"]),
        local=bool(row["local"]),
        tool_calls=row["tool_calls"],
        new_messages=row["new_messages"],
        tokens=Tokens(**{name: row[column] for column, name in _TOKENS.items()}),
        usage_source=UsageSource(row["usage_source"]),
        duration_us=row["duration_us"],
        first_token_us=row["first_token_us"],
        upstream_us=row["upstream_us"],
        queue_us=row["queue_us"],
        billed_nano=row["billed_nano"],
        device_watts=row["device_watts"],
        user_source=row["user_source"],
        project_source=row["project_source"],
        session_source=row["session_source"],
        retry_of=UUID(bytes=row["retry_of"]) if row["retry_of"] else None,
        attempts=tuple(attempts),
        **{name: names[row[name]] for name in LABELS},
    )


def read_attempt(row: sqlite3.Row, names: Names) -> Attempt:
    """Make an attempt of its row and the texts of its ids."""
    return Attempt(
        backend=names[row["backend"]],
        model=names[row["model"]],
        status=Status(row["status"]),
        http_code=row["http_code"] or 0,
        duration_us=row["duration_us"],
        error=row["error"] or "",
    )


def read_group(row: sqlite3.Row, names: Names) -> GroupUse:
    """Make a group of its row and the texts of its ids."""
    sums = {name: row[name] for name in row.keys() if name not in _GROUPED}  # noqa: SIM118  # a Row iterates over values
    return GroupUse(
        model=names[row["model_used"]],
        backend=names[row["backend"]],
        local=bool(row["local"]),
        status=Status(row["status"]),
        **sums,
    )


_GROUPED = ("model_used", "backend", "local", "status")
