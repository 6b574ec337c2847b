"""The times that a question names, and how near to them something was said.

"In May 2023", "on the 3rd of June", "last week", "two months ago", "recently". A time
is a prior for what was said about then and never a filter: people speak of an event
days after it, and err about months.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

_DAY_US = 86_400_000_000
_YEAR_US = round(365.25 * _DAY_US)
_MONTHS = tuple(
    "january february march april may june july august september october november december".split()  # noqa: SIM905  # reads best as running words
)
_SHORT_MONTHS = "jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec"
_WEEKDAYS = tuple("monday tuesday wednesday thursday friday saturday sunday".split())  # noqa: SIM905  # as above
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "couple of": 2, "a couple of": 2, "three": 3}
_NUMBERS |= {"few": 3, "a few": 3, "several": 4, "four": 4, "five": 5, "six": 6, "seven": 7}
_NUMBERS |= {"eight": 8, "nine": 9, "ten": 10}
_UNIT_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}

_MONTH = rf"(?:{'|'.join(_MONTHS)}|(?:{_SHORT_MONTHS})\b\.?)"
_AMOUNT = "|".join(sorted(_NUMBERS, key=len, reverse=True)) + r"|\d{1,3}"
_DATE = re.compile(
    rf"\b(?P<d1>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<m1>{_MONTH})(?!\w)(?:,? (?P<y1>\d{{4}}))?"
    rf"|\b(?P<m2>{_MONTH})(?!\w)"
    r"(?: (?P<d2>\d{1,2})(?:st|nd|rd|th)?\b(?!\d))?(?:,? (?P<y2>\d{4}))?",
    re.IGNORECASE,
)
_ISO = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")
_YEAR = re.compile(r"\b(?:in|of|during|since|before|after) ((?:19|20)\d{2})\b", re.IGNORECASE)
_AGO = re.compile(rf"\b({_AMOUNT}) (day|week|month|year)s? ago\b", re.IGNORECASE)
_SPAN = re.compile(
    rf"\b(?:last|past|previous) ({_AMOUNT}) (day|week|month|year)s?\b", re.IGNORECASE
)
_WEEKDAY = re.compile(rf"\b(?:last|on|this) ({'|'.join(_WEEKDAYS)})\b", re.IGNORECASE)
# These words, and months that are cut short, are months only where they stand as one.
_AMBIGUOUS = {"may", "march"}
_BEFORE_MONTH = re.compile(
    r"\b(in|of|by|since|until|during|before|after|last|this|next|late|early|mid)[ -]$",
    re.IGNORECASE,
)
# Days back from now, and days to either side at which nothing is left.
_PHRASES = tuple(
    (re.compile(rf"\b(?:{words})\b", re.IGNORECASE), back, reach)
    for words, back, reach in (
        ("today|tonight|this morning|this afternoon|this evening", 0.0, 1.5),
        ("yesterday|last night", 1.0, 2.0),
        ("this week", 3.0, 6.0),
        ("last week|past week|previous week", 7.0, 9.0),
        ("last weekend|past weekend", 5.0, 7.0),
        ("this month", 12.0, 22.0),
        ("last month|past month|previous month", 30.0, 34.0),
        ("this year", 120.0, 250.0),
        ("last year|past year|previous year", 365.0, 300.0),
        ("recent|recently|lately|the other day|last time|most recent|latest", 0.0, 45.0),
    )
)
_RELATIVE = (_AGO, _SPAN, _WEEKDAY, *(pattern for pattern, _, _ in _PHRASES))


@dataclass(frozen=True, slots=True)
class Time:
    """About when: 1 at `centre_us`, falling to 0 at `reach_us` to either side.

    A `yearly` one has no year: it comes back every year.
    """

    centre_us: int
    reach_us: int
    yearly: bool = False


def times_in(question: str, now_us: int) -> tuple[Time, ...]:
    """Return the times that a question names; relative ones as of now."""
    return (*_dates(question), *_relative(question, now_us))


def without_relative_times(question: str) -> str:
    """Leave out what says when as of now: nobody who spoke then said so."""
    for pattern in _RELATIVE:
        question = pattern.sub(" ", question)
    return question


def affinity(times: Sequence[Time], at_us: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return how near, 0 to 1, each moment is to the nearest of the times."""
    best = np.zeros(len(at_us), dtype=np.float32)
    for time in times:
        distance = np.abs(at_us - time.centre_us)
        if time.yearly:
            distance %= _YEAR_US
            distance = np.minimum(distance, _YEAR_US - distance)
        np.maximum(best, 1 - distance / time.reach_us, out=best, casting="unsafe")
    return best


def _dates(question: str) -> Iterator[Time]:
    with_year = set()
    for found in _DATE.finditer(question):
        month, day = found["m1"] or found["m2"], found["d1"] or found["d2"]
        year = found["y1"] or found["y2"]
        if not (day or year) and not _is_month(question, found.start(), month):
            continue
        with_year.add(year)
        number = next(n for n, name in enumerate(_MONTHS, 1) if name[:3] == month[:3].lower())
        yield from _date(int(year) if year else None, number, int(day) if day else None)
    for found in _ISO.finditer(question):
        with_year.add(found[1])
        yield from _date(*map(int, found.groups()))
    for found in _YEAR.finditer(question):
        if found[1] not in with_year:
            middle = datetime(int(found[1]), 7, 2, tzinfo=UTC)
            yield Time(_us(middle), 200 * _DAY_US)


def _is_month(question: str, start: int, word: str) -> bool:
    is_plain = word.lower() in _MONTHS and word.lower() not in _AMBIGUOUS
    return is_plain or bool(_BEFORE_MONTH.search(question[:start]))


def _date(year: int | None, month: int, day: int | None) -> Iterator[Time]:
    """Give the time about a date; nothing for one that no calendar has.

    One speaks of a day a little after it, hence the shift.
    """
    try:
        centre = datetime(
            2000 if year is None else year, month, 15 if day is None else day, tzinfo=UTC
        )
    except ValueError:
        return
    shifted = _us(centre) + (2 * _DAY_US if day else 0)
    yield Time(shifted, (10 if day else 24) * _DAY_US, yearly=not year)


def _relative(question: str, now_us: int) -> Iterator[Time]:
    for pattern, back, reach in _PHRASES:
        if pattern.search(question):
            yield Time(round(now_us - back * _DAY_US), round(reach * _DAY_US))
    for found in _AGO.finditer(question):
        back = _amount(found[1]) * _UNIT_DAYS[found[2].lower()]
        reach = max(2.0, _UNIT_DAYS[found[2].lower()] + back / 4)
        yield Time(now_us - back * _DAY_US, round(reach * _DAY_US))
    for found in _SPAN.finditer(question):
        span = _amount(found[1]) * _UNIT_DAYS[found[2].lower()] * _DAY_US
        yield Time(now_us - span // 2, max(span * 3 // 4, _DAY_US))
    today = datetime.fromtimestamp(now_us / 1e6, UTC)
    for found in _WEEKDAY.finditer(question):
        back = (today.weekday() - _WEEKDAYS.index(found[1].lower())) % 7 or 7
        noon = today.replace(hour=12, minute=0) - timedelta(days=back)
        yield Time(_us(noon), 2 * _DAY_US)


def _amount(word: str) -> int:
    return _NUMBERS.get(word.lower()) or max(int(word), 1)


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)
