"""When requests were made, as the JSON of `/metrics/activity`, and a year's card."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Annotated

from msgspec import Meta, Struct

from gateway.dialects.rest_costs import CostUsd, Saved, Unpriced, cost_usd, saved_json
from gateway.dialects.rest_reports import (
    Before,
    DayUse,
    Share,
    SuccessRate,
    Tokens,
    before_json,
    day_json,
    shares_json,
    success_of,
    tokens_json,
)
from gateway.dialects.rest_types import Count, Day
from lair.metrics.v1 import report_service_pb2 as reports_pb2

Weekday = Annotated[int, Meta(ge=0, le=6, description="0 is Monday, 6 is Sunday.")]
HourOfDay = Annotated[int, Meta(ge=0, le=23)]
Level = Annotated[
    int, Meta(ge=0, le=4, description="0 is idle; 1 to 4 the quarter of the active days.")
]


class ChartDay(Struct, frozen=True):
    """One square of the chart."""

    date: Day
    weekday: Weekday
    requests: Count
    tokens: Count
    level: Level
    token_level: Annotated[int, Meta(ge=0, le=4, description="The same by its tokens.")]
    known: Annotated[
        bool, Meta(description="false before the first active day of all: no data, not idle.")
    ]


class HourUse(Struct, frozen=True):
    """One hour of the week."""

    weekday: Weekday
    hour: HourOfDay
    requests: Count
    tokens: Count


class WeekdayUse(Struct, frozen=True):
    """All days of one weekday, from the first active day of all on."""

    weekday: Weekday
    days: Count
    requests: Count
    tokens: Count


class Streak(Struct, frozen=True):
    """A run of consecutive active days, both ends included."""

    days: Count
    first: Day
    last: Day


class Activity(Struct, frozen=True):
    """A chart of days as GitHub draws it, oldest first, a week of hours, and streaks."""

    time_zone: str
    started_date: Annotated[Day | None, Meta(description="The first active day of all.")]
    days: list[ChartDay]
    hours: Annotated[list[HourUse], Meta(description="All 168, from Monday 0:00 on.")]
    weekdays: list[WeekdayUse]
    best_weekday: Annotated[
        Weekday | None, Meta(description="The one with the most requests a day.")
    ]
    active_days: Count
    requests: Count
    longest_streak: Annotated[Streak | None, Meta(description="Within these days.")]
    current_streak: Annotated[
        Streak | None, Meta(description="The run that is alive today or was yesterday.")
    ]
    all_time_longest_streak: Streak | None
    all_time_current_streak: Streak | None


class Wrapped(Struct, frozen=True):
    """A year in figures. Shares are the five largest; names are empty if they are hidden."""

    year: int
    time_zone: str
    first_date: Annotated[Day | None, Meta(description="The first active day of the year.")]
    calendar_days: Annotated[int, Meta(ge=0, description="Its days until today.")]
    active_days: Count
    longest_streak: Streak | None
    most_active_day: DayUse | None
    most_active_hour: HourOfDay | None
    best_weekday: Weekday | None
    requests: Count
    messages: Count
    sessions: Count
    conversations: Count
    projects_count: Count
    tool_calls: Count
    tokens: Tokens
    success_rate: SuccessRate
    cost_usd: CostUsd
    unpriced: Unpriced
    savings: Saved
    models: list[Share]
    backends: list[Share]
    projects: list[Share]
    clients: list[Share]
    locations: list[Share]
    days: list[ChartDay]
    before: Annotated[
        Before | None, Meta(description="The year before until the same day; null if unused.")
    ]
    names_hidden: bool


def activity_json(activity: reports_pb2.GetActivityResponse) -> Activity:
    """Write when requests were made."""
    return Activity(
        time_zone=activity.time_zone,
        started_date=activity.started_date or None,
        days=_days_json(activity.days),
        hours=_hours_json(activity.hours),
        weekdays=[
            WeekdayUse(place, each.day_count, each.request_count, each.token_count)
            for place, each in enumerate(activity.weekdays)
        ],
        best_weekday=activity.best_weekday if activity.HasField("best_weekday") else None,
        active_days=sum(day.request_count > 0 for day in activity.days),
        requests=sum(day.request_count for day in activity.days),
        longest_streak=_streak_json(activity.longest_streak),
        current_streak=_streak_json(activity.current_streak),
        all_time_longest_streak=_streak_json(activity.all_time_longest_streak),
        all_time_current_streak=_streak_json(activity.all_time_current_streak),
    )


def wrapped_json(year: reports_pb2.GetWrappedResponse) -> Wrapped:
    """Write a year's card."""
    known = year.HasField
    return Wrapped(
        year=year.year,
        time_zone=year.time_zone,
        first_date=year.first_date or None,
        calendar_days=year.day_count,
        active_days=year.active_day_count,
        longest_streak=_streak_json(year.longest_streak),
        most_active_day=day_json(year.most_active_day) if known("most_active_day") else None,
        most_active_hour=year.most_active_hour if known("most_active_hour") else None,
        best_weekday=year.best_weekday if known("best_weekday") else None,
        requests=year.request_count,
        messages=year.message_count,
        sessions=year.session_count,
        conversations=year.conversation_count,
        projects_count=year.project_count,
        tool_calls=year.tool_call_count,
        tokens=tokens_json(year.tokens),
        success_rate=success_of(year),
        cost_usd=cost_usd(year.cost),
        unpriced=year.cost.unpriced_count,
        savings=saved_json(year.savings),
        models=shares_json(year.models),
        backends=shares_json(year.backends),
        projects=shares_json(year.projects),
        clients=shares_json(year.clients),
        locations=shares_json(year.locations),
        days=_days_json(year.days),
        before=before_json(year.before) if known("before") else None,
        names_hidden=year.names_hidden,
    )


def _days_json(days: Iterable[reports_pb2.ActivityDay]) -> list[ChartDay]:
    return [
        ChartDay(
            date=day.date,
            weekday=date.fromisoformat(day.date).weekday(),
            requests=day.request_count,
            tokens=day.token_count,
            level=day.request_level,
            token_level=day.token_level,
            known=not day.before_start,
        )
        for day in days
    ]


def _hours_json(hours: Iterable[reports_pb2.ActivityHour]) -> list[HourUse]:
    used = {(each.weekday, each.hour): each for each in hours}
    idle = reports_pb2.ActivityHour()
    return [
        HourUse(weekday, hour, each.request_count, each.token_count)
        for weekday in range(7)
        for hour in range(24)
        for each in [used.get((weekday, hour), idle)]
    ]


def _streak_json(streak: reports_pb2.Streak) -> Streak | None:
    if not streak.day_count:
        return None
    return Streak(streak.day_count, streak.first_date, streak.last_date)
