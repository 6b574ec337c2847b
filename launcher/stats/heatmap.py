"""A chart of days as GitHub draws it: a column for a week, a row for a weekday.

What a day looks like is said by its level, which lair worked out. The layout is pure; it
serves the terminal and the card.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from rich.text import Text

from launcher.stats.rest import Json

DAYS_A_WEEK = 7
# A leap year that begins on a Sunday touches as many weeks.
WEEKS_A_YEAR = 54

_NO_DATA = " "
_GLYPHS = "·░▒▓█"
# Told apart without colours, too.
_STYLES = ("bright_black", "#0e8a3a", "#1fa84b", "#39c463", "#57e27f")
_LABELS = ("Mon", "", "Wed", "", "Fri", "", "")
_MARGIN = 5


@dataclass(frozen=True, slots=True)
class Square:
    """A day's place: `week` counts columns from the left, `weekday` rows from Monday."""

    week: int
    weekday: int
    day: Json


def squares(days: Sequence[Json]) -> list[Square]:
    """Place consecutive days, oldest first."""
    if not days:
        return []
    before = date.fromisoformat(days[0]["date"]).weekday()
    return [
        Square(*divmod(before + number, DAYS_A_WEEK), day=day) for number, day in enumerate(days)
    ]


def months(placed: Sequence[Square], room: int) -> Iterator[tuple[int, str]]:
    """Yield the column where each month begins, and its name.

    A name that would come closer than `room` columns to the one before takes its place.
    """
    found: list[tuple[int, str]] = []
    for number, square in enumerate(placed):
        begins = date.fromisoformat(square.day["date"])
        if number and begins.day != 1:
            continue
        if found and square.week - found[-1][0] < room:
            found.pop()
        found.append((square.week, f"{begins:%b}"))
    yield from found


def chart(days: Sequence[Json], width: int) -> Iterator[Text]:
    """Yield the lines of a chart that is no wider than `width`; a long one has several parts."""
    placed = squares(days)
    if not placed:
        return
    weeks = placed[-1].week + 1
    room = max(width - _MARGIN, 1)
    part = min(WEEKS_A_YEAR, room, weeks)
    wide = 2 if 2 * part <= room else 1
    # The last part is the one that is whole: it ends today.
    first = weeks % part or part
    for end in range(first, weeks + 1, part):
        shown = [square for square in placed if end - part <= square.week < end]
        yield _heading(shown, max(end - part, 0), wide, width)
        yield from _rows(shown, max(end - part, 0), wide)
    yield Text("")
    yield _legend()


def _rows(shown: Sequence[Square], first_week: int, wide: int) -> Iterator[Text]:
    by_place = {(square.week - first_week, square.weekday): square.day for square in shown}
    columns = max(week for week, _ in by_place) + 1
    for weekday, label in enumerate(_LABELS):
        line = Text(f"{label:<{_MARGIN}}", style="dim")
        for week in range(columns):
            day = by_place.get((week, weekday))
            if day is None or not day["known"]:
                line.append(_NO_DATA * wide)
            else:
                line.append(_GLYPHS[day["level"]] * wide, style=_STYLES[day["level"]])
        yield line


def _heading(shown: Sequence[Square], first_week: int, wide: int, width: int) -> Text:
    """Write the year that the part begins in, and its months as far as there is room."""
    line = shown[0].day["date"][:4]
    for week, name in months(shown, room=-(-4 // wide)):
        begin = _MARGIN + (week - first_week) * wide
        if begin + len(name) <= width:
            line = f"{line:<{begin}}{name}"
    return Text(line, style="dim")


def _legend() -> Text:
    line = Text(f"{'':<{_MARGIN}}less ", style="dim")
    for glyph, style in zip(_GLYPHS, _STYLES, strict=True):
        line.append(f"{glyph * 2} ", style=style)
    return line.append("more")
