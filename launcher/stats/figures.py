"""Figures as a person reads them: numbers, shares, money, days."""

from __future__ import annotations

from datetime import date

from launcher.stats.rest import Json

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_STEPS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))
_WHOLE_FROM = 100
_CENTS_FROM = 0.995
_NO_SUM_BELOW = 0.00005


def count(number: int) -> str:
    """Write a number with its thousands told apart: `12,345`."""
    return f"{number:,}"


def compact(number: int) -> str:
    """Write a large number in three digits: `12.3M`."""
    for size, letter in _STEPS:
        # What would be rounded up to 1000 of one step is 1 of the next.
        if number >= size * 0.9995:
            value = number / size
            digits = 0 if value >= _WHOLE_FROM - 0.05 else 1
            return f"{value:.{digits}f}{letter}"
    return str(number)


def percent(ratio: float) -> str:
    """Write a part of a whole: `98.2%`; only all is 100."""
    if ratio in (0, 1):
        return f"{ratio:.0%}"
    return f"{min(max(ratio, 0.001), 0.999):.1%}"


def dollars(amount: float) -> str:
    """Write US dollars: to the cent, and small sums to two digits that are not 0."""
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    if size >= _CENTS_FROM:
        return f"{sign}${size:,.2f}"
    if size < _NO_SUM_BELOW:
        return "$0.00" if size == 0 else f"{sign}<$0.0001"
    return f"{sign}${size:.4f}".removesuffix("00")


def counted(number: int, noun: str) -> str:
    """Write how many there are: `1 day`, `12 days`."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def change(now: float, before: float) -> str:
    """Write how much more or less there is than before; empty where there was nothing."""
    if not before:
        return ""
    return f"{(now - before) / before:+.0%} to the same time before"


def run(streak: Json | None) -> str:
    """Write a run of days, with its days."""
    if streak is None:
        return "none"
    first, last = streak["first"], streak["last"]
    days = counted(streak["days"], "day")
    return f"{days} ({first})" if first == last else f"{days} ({first} to {last})"


def day(text: str) -> str:
    """Write a day as people say it: `14 March`."""
    read = date.fromisoformat(text)
    return f"{read.day} {read:%B}"
