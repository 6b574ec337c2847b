"""An API key as the table and the JSON of `lair keys` show it: without its digest."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from launcher.tables import Column, Room
from svckit.keys import SCOPES, ApiKey

COLUMNS = (
    Column("name"),
    Column("key"),
    Column("state"),
    Column("user"),
    Column("project"),
    Column("scopes", Room.WRAPPED),
    Column("models", Room.WRAPPED),
    Column("memory"),
    Column("priority"),
    Column("limits", Room.WRAPPED),
    Column("expires"),
    Column("id"),
)


def row(key: ApiKey) -> tuple[str, ...]:
    """Return a key's cells, for `COLUMNS`."""
    return (
        key.name,
        f"{key.prefix}…",
        state_of(key),
        key.user_id or "any",
        key.project,
        ", ".join(_scopes(key)),
        ", ".join(key.models),
        key.memory_policy,
        key.priority,
        ", ".join(_limits(key)),
        "" if key.expires_us is None else f"{_moment(key.expires_us).astimezone():%Y-%m-%d %H:%M}",
        key.id,
    )


def key_json(key: ApiKey) -> dict[str, Any]:
    """Return a key as JSON; what is not set is null, a limit of 0 is none."""
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "state": state_of(key),
        "user_id": key.user_id or None,
        "project": key.project or None,
        "scopes": _scopes(key),
        "models": list(key.models),
        "memory": key.memory_policy or None,
        "priority": key.priority or None,
        "requests_per_minute": key.requests_per_minute,
        "tokens_per_day": key.tokens_per_day,
        "created_at": _moment(key.created_us).isoformat(),
        "expires_at": None if key.expires_us is None else _moment(key.expires_us).isoformat(),
    }


def state_of(key: ApiKey) -> str:
    """Say whether a key is good: `active`, `disabled` or `expired`."""
    if key.disabled:
        return "disabled"
    is_over = key.expires_us is not None and key.expires_us <= time.time_ns() // 1000
    return "expired" if is_over else "active"


def _scopes(key: ApiKey) -> list[str]:
    return [scope for scope in SCOPES if scope in key.scopes]


def _limits(key: ApiKey) -> list[str]:
    limits = {"requests/min": key.requests_per_minute, "tokens/day": key.tokens_per_day}
    return [f"{limit} {unit}" for unit, limit in limits.items() if limit]


def _moment(us: int) -> datetime:
    return datetime.fromtimestamp(us // 1_000_000, UTC)
