"""What a gateway answers about use, for the tests of who asks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

Json = dict[str, Any]


def share(name: str, requests: int, ratio: float, **fields: Any) -> Json:
    return {
        "name": name,
        "requests": requests,
        "tokens": requests * 1000,
        "ratio": ratio,
        "cost_usd": 0.0,
        "unpriced": 0,
    } | fields


def tokens(**fields: Any) -> Json:
    return {
        "total": 1_234_567,
        "prompt": 1_000_000,
        "completion": 234_567,
        "cached": 400_000,
        "reasoning": 0,
        "known_ratio": 0.97,
    } | fields


def chart_day(day: date, level: int, *, known: bool = True) -> Json:
    return {
        "date": day.isoformat(),
        "weekday": day.weekday(),
        "requests": level * 3,
        "tokens": level * 3000,
        "level": level,
        "token_level": level,
        "known": known,
    }


def chart_days(first: date, levels: Mapping[int, int], count: int, *, unknown: int = 0) -> Any:
    """Days from `first`, of these levels by their number and else idle; the first unknown."""
    return [
        chart_day(first + timedelta(days=n), levels.get(n, 0), known=n >= unknown)
        for n in range(count)
    ]


def streak(days: int, first: str, last: str) -> Json:
    return {"days": days, "first": first, "last": last}


def dashboard(**fields: Any) -> Json:
    return {
        "time_zone": "Europe/Berlin",
        "started_date": "2026-01-03",
        "active_days": 5,
        "most_active_day": {"date": "2026-01-04", "requests": 12},
        "days": [],
        "models": [share("qwen3:30b", 75, 0.75), share("gpt-x", 25, 0.25, cost_usd=1.5)],
        "backends": [share("ollama", 75, 0.75), share("cloud", 25, 0.25)],
        "locations": [],
        "sessions": 4,
        "conversations": 1,
        "messages": 60,
        "tokens": tokens(),
        "projects": 2,
        "longest_streak_days": 3,
        "current_streak_days": 0,
        "requests": 1234,
        "statuses": {"ok": 1200, "timeout": 4, "upstream_error": 20, "client_cancelled": 10},
        "success_rate": 0.98,
        "cost_usd": 1.5,
        "unpriced": 3,
        "before": {"requests": 1000, "tokens": 2_469_134},
    } | fields


def activity(**fields: Any) -> Json:
    return {
        "time_zone": "Europe/Berlin",
        "started_date": "2026-01-03",
        "days": chart_days(date(2026, 1, 1), {2: 1, 3: 4, 4: 2, 9: 3}, 40, unknown=2),
        "hours": [],
        "weekdays": [],
        "best_weekday": 5,
        "active_days": 4,
        "requests": 30,
        "longest_streak": streak(3, "2026-01-03", "2026-01-05"),
        "current_streak": None,
        "all_time_longest_streak": None,
        "all_time_current_streak": None,
    } | fields


def comparison(saved: float | None, ratio: float = 0.9) -> Json:
    return {"known_ratio": ratio, "reference_usd": 9.0, "saved_usd": saved}


def saved(**fields: Any) -> Json:
    return {
        "model": None,
        "requests": 75,
        "tokens": 75_000,
        "cost_usd": 0.0,
        "electricity_usd": 0.5,
        "kwh": 1.6,
        "same_model": comparison(3.2),
        "replacement": comparison(-0.25, 1),
        "confidence": "configured",
    } | fields


def savings(*, below_list: float | None = 1.25, **fields: Any) -> Json:
    remote = {"requests": 9, "tokens": 900, "cost_usd": 1.0, "list_price": comparison(below_list)}
    other: Json = {"models": [], "kwh_usd": 0.3, "backends": []}
    return {"total": saved(**fields), "remote": remote} | other


def wrapped(**fields: Any) -> Json:
    """A year until 21 November, whose longest streak is nine days of March."""
    first = date(2026, 1, 1)
    levels = {n: 1 + n * 7 % 4 for n in range(20, 325) if n % 5}
    levels |= dict.fromkeys(range(61, 75), 3)
    return {
        "year": 2026,
        "time_zone": "Europe/Berlin",
        "first_date": "2026-01-21",
        "calendar_days": 325,
        "active_days": 250,
        "longest_streak": streak(14, "2026-03-03", "2026-03-16"),
        "most_active_day": {"date": "2026-03-14", "requests": 412},
        "most_active_hour": 23,
        "best_weekday": 6,
        "requests": 48_112,
        "messages": 31_002,
        "sessions": 700,
        "conversations": 1204,
        "projects_count": 7,
        "tool_calls": 9120,
        "tokens": tokens(total=81_234_567, completion=12_300_000),
        "success_rate": 0.987,
        "cost_usd": 12.34,
        "unpriced": 0,
        "savings": saved(),
        "models": [
            share("qwen3-coder:30b", 30_000, 0.62),
            share("gpt-oss:20b", 10_000, 0.21),
            share("anthropic/claude-sonnet-4.5-with-a-long-name", 5000, 0.1),
            share("llama-3.3", 3112, 0.06),
            share("rest", 1, 0.0001),
        ],
        "backends": [],
        "projects": [],
        "clients": [],
        "locations": [share("local", 44_000, 0.92), share("remote", 4112, 0.08)],
        "days": chart_days(first, levels, 325, unknown=20),
        "before": None,
        "names_hidden": False,
    } | fields
