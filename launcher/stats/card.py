"""A year as a card: figures, the chart of its days with the longest streak, the most used models.

The layout is pure: figures of `GET /metrics/wrapped/{year}` in, SVG out. Names that lair left
out are numbers here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from launcher.stats.figures import WEEKDAYS, compact, count, counted, day, dollars, percent
from launcher.stats.heatmap import Square, months, squares
from launcher.stats.rest import Json
from launcher.stats.svg import box, cut, document, gradient, words

WIDTH, HEIGHT = 2400, 1260

_LEFT, _RIGHT = 110, 2290
_INK, _SOFT, _FAINT = "#f0f6fc", "#9fb0c3", "#6b7d92"
_ACCENT, _GOLD = "#4ade80", "#fbbf24"
_TILE, _TRACK = "#16212e", "#1e2b3a"
_LEVELS = ("#1c2836", "#14532d", "#15803d", "#22c55e", "#86efac")
_NOT_YET = "#131d29"

_TILES_TOP, _TILE_HEIGHT, _TILE_GAP = 258, 196, 25
_CHART_TOP, _CHART_LEFT = 556, 184
_ROW, _GAP = 40, 7
_LISTS_TOP = 938
_TITLE, _LINE, _PAIR = 30, 53, 80


def card(year: Json) -> str:
    """Draw a year in which something was used."""
    return document(
        WIDTH,
        HEIGHT,
        [
            gradient("night", "#0b131d", "#0c2019"),
            box(0, 0, WIDTH, HEIGHT, "url(#night)"),
            *_head(year),
            *_tiles(year),
            *_chart(year),
            *_models(year["models"]),
            *_when(year),
            *_money(year),
            *_foot(year),
        ],
        title=f"{year['year']} with lair: {counted(year['requests'], 'request')}",
    )


def _head(year: Json) -> Iterator[str]:
    yield words(_LEFT - 6, 206, 150, str(year["year"]), _INK, weight=900)
    yield words(512, 150, 46, "my year with language models", _INK, weight=500)
    yield words(512, 206, 36, _said(year), _SOFT)
    yield words(_RIGHT, 150, 64, "lair", _ACCENT, weight=900, anchor="end")
    yield words(_RIGHT, 200, 30, "local AI router", _SOFT, anchor="end")


def _said(year: Json) -> str:
    parts = [counted(year["messages"], "message"), counted(year["conversations"], "conversation")]
    if year["projects_count"]:
        parts.append(counted(year["projects_count"], "project"))
    if year["tool_calls"]:
        parts.append(counted(year["tool_calls"], "tool call"))
    return "  ·  ".join(parts)


def _tiles(year: Json) -> Iterator[str]:
    tiles = list(_figures(year))
    width = (_RIGHT - _LEFT - _TILE_GAP * (len(tiles) - 1)) / len(tiles)
    for place, (label, figure, remark) in enumerate(tiles):
        left = _LEFT + place * (width + _TILE_GAP)
        yield box(left, _TILES_TOP, width, _TILE_HEIGHT, _TILE, radius=22)
        yield words(left + 30, _TILES_TOP + 50, _TITLE, label, _SOFT, weight=500)
        yield words(left + 28, _TILES_TOP + 128, 76, figure, _INK, weight=700)
        yield words(left + 30, _TILES_TOP + 172, 27, cut(remark, 30), _SOFT)


def _figures(year: Json) -> Iterator[tuple[str, str, str]]:
    """Yield label, figure and remark of each tile."""
    rate, tokens, streak = year["success_rate"], year["tokens"], year["longest_streak"]
    yield (
        "Requests",
        count(year["requests"]) if year["requests"] < 10**6 else compact(year["requests"]),
        f"{percent(rate)} answered" if rate is not None else "",
    )
    yield "Tokens", compact(tokens["total"]), f"{compact(tokens['completion'])} of them written"
    yield "Active days", count(year["active_days"]), f"of {counted(year['calendar_days'], 'day')}"
    yield (
        "Longest streak",
        counted(streak["days"], "day") if streak else "none",
        f"{_short(streak['first'])} to {_short(streak['last'])}" if streak else "",
    )
    local = {share["name"]: share["ratio"] for share in year["locations"]}.get("local", 0)
    yield "Stayed at home", f"{local:.0%}", "answered by local models"


def _chart(year: Json) -> Iterator[str]:
    """Draw the whole year: days to come are there, and darker than idle ones."""
    placed = squares(_whole_year(year))
    # A year touches 53 weeks or 54.
    column = (_RIGHT - _CHART_LEFT + _GAP) / (placed[-1].week + 1)
    for week, name in months(placed, room=3):
        yield words(_CHART_LEFT + week * column, _CHART_TOP - 22, 28, name, _SOFT)
    for weekday in (0, 2, 4):
        baseline = _CHART_TOP + weekday * _ROW + 26
        yield words(_LEFT, baseline, 26, WEEKDAYS[weekday][:3], _FAINT)
    streak = year["longest_streak"]
    for square in placed:
        marked = streak is not None and streak["first"] <= square.day["date"] <= streak["last"]
        yield _square(square, column, marked=marked)
    yield from _legend(marked=streak is not None)


def _whole_year(year: Json) -> list[Json]:
    """Return the days of the year, those to come without a level."""
    days = list(year["days"])
    following = date.fromisoformat(days[-1]["date"]) if days else date(year["year"] - 1, 12, 31)
    while (following := following + timedelta(days=1)).year == year["year"]:
        days.append({"date": following.isoformat(), "level": None, "known": False})
    return days


def _square(square: Square, column: float, *, marked: bool) -> str:
    level = square.day["level"] if square.day["known"] else None
    return box(
        _CHART_LEFT + square.week * column,
        _CHART_TOP + square.weekday * _ROW,
        column - _GAP,
        _ROW - _GAP,
        _NOT_YET if level is None else _LEVELS[level],
        radius=8,
        stroke=_GOLD if marked else "",
        stroke_width=4,
    )


def _legend(*, marked: bool) -> Iterator[str]:
    y = _CHART_TOP + 7 * _ROW + 12
    left = _RIGHT - 5 * 38 - 70
    yield words(left - 14, y + 23, 26, "less", _FAINT, anchor="end")
    for place, fill in enumerate(_LEVELS):
        yield box(left + place * 38, y, 28, 28, fill, radius=7)
    yield words(_RIGHT, y + 23, 26, "more", _FAINT, anchor="end")
    if marked:
        yield box(_CHART_LEFT + 2, y, 28, 28, _LEVELS[0], radius=7, stroke=_GOLD, stroke_width=4)
        yield words(_CHART_LEFT + 46, y + 23, 26, "longest streak", _FAINT)


def _models(models: Sequence[Json]) -> Iterator[str]:
    yield words(_LEFT, _LISTS_TOP, _TITLE, "Most used models", _SOFT, weight=500)
    for place, share in enumerate(models[:4]):
        y = _LISTS_TOP + (place + 1) * _LINE
        name = cut(share["name"], 30) or f"model {place + 1}"
        yield words(_LEFT, y, 32, name, _INK, weight=500)
        yield box(620, y - 23, 300, 24, _TRACK, radius=12)
        yield box(620, y - 23, max(6, 300 * share["ratio"]), 24, _ACCENT, radius=12)
        yield words(1040, y, 32, percent(share["ratio"]), _SOFT, anchor="end")


def _when(year: Json) -> Iterator[str]:
    lines: list[tuple[str, str]] = []
    if busiest := year["most_active_day"]:
        requests = counted(busiest["requests"], "request")
        lines.append((day(busiest["date"]), f"the busiest day, with {requests}"))
    if year["best_weekday"] is not None:
        lines.append((WEEKDAYS[year["best_weekday"]], "the busiest weekday"))
    if year["most_active_hour"] is not None:
        hour = year["most_active_hour"]
        lines.append((f"{hour}:00 to {hour + 1}:00", "the busiest hour"))
    yield from _pairs(1190, "Most often", lines)


def _money(year: Json) -> Iterator[str]:
    unpriced, savings = year["unpriced"], year["savings"]
    without = f"; {counted(unpriced, 'request')} of unknown price" if unpriced else ""
    spent = "unknown" if year["cost_usd"] is None else dollars(year["cost_usd"])
    lines = [(spent, f"spent on models{without}")]
    for name, other in (("same_model", "the same models sold"), ("replacement", "paid models")):
        saved = savings[name]["saved_usd"]
        if savings["requests"] and saved is not None:
            said = f"saved against {other}" if saved >= 0 else f"more than {other} would cost"
            lines.append((dollars(abs(saved)), said))
    sure = "electricity not counted" if savings["confidence"] == "unknown" else "after electricity"
    yield from _pairs(1730, f"Money, {sure}" if len(lines) > 1 else "Money", lines)


def _pairs(left: int, title: str, lines: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Draw figures, each over what it is, below a title."""
    yield words(left, _LISTS_TOP, _TITLE, title, _SOFT, weight=500)
    for place, (figure, remark) in enumerate(lines):
        y = _LISTS_TOP + 50 + place * _PAIR
        yield words(left, y, 34, figure, _INK, weight=700)
        yield words(left, y + 31, 25, remark, _SOFT)


def _foot(year: Json) -> Iterator[str]:
    until = f"until {day(year['days'][-1]['date'])}" if year["days"] else ""
    parts = [f"days of {year['time_zone']}", until, "counted by lair on the owner's own machine"]
    yield words(_LEFT, 1222, 24, "  ·  ".join(part for part in parts if part), _FAINT)


def _short(text: str) -> str:
    read = date.fromisoformat(text)
    return f"{read.day} {read:%b}"
