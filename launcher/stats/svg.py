"""The few SVG elements that the card is made of. Whatever text they are given stays text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from html import escape

# Roboto is in the extra `wrapped`; a browser takes what it has of the others.
FAMILY = "Roboto"
_OTHERS = "'DejaVu Sans', 'Noto Sans', Helvetica, Arial, sans-serif"


def document(width: int, height: int, elements: Iterable[str], *, title: str) -> str:
    """Return a whole picture; `title` is what is read aloud of it."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="{FAMILY}, {_OTHERS}">\n'
        f"<title>{_escaped(title)}</title>\n" + "\n".join(elements) + "\n</svg>\n"
    )


def gradient(name: str, first: str, last: str) -> str:
    """Return a fill from top left to bottom right, to be used as `url(#name)`."""
    return (
        f'<defs><linearGradient id="{name}" x1="0" y1="0" x2="1" y2="1">'
        f'<stop offset="0" stop-color="{first}"/><stop offset="1" stop-color="{last}"/>'
        "</linearGradient></defs>"
    )


def box(
    x: float,
    y: float,
    width: float,
    height: float,
    fill: str,
    *,
    radius: float = 0,
    stroke: str = "",
    stroke_width: float = 0,
) -> str:
    """Return a rectangle."""
    line = f' stroke="{stroke}" stroke-width="{stroke_width:g}"' if stroke else ""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" '
        f'fill="{fill}"{line}/>'
    )


def words(
    x: float,
    y: float,
    size: float,
    text: str,
    fill: str,
    *,
    weight: int = 400,
    anchor: str = "start",
) -> str:
    """Return a line of text whose baseline is at `y`."""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" font-weight="{weight}" '
        f'fill="{fill}" text-anchor="{anchor}">{_escaped(text)}</text>'
    )


def cut(text: str, room: int) -> str:
    """Shorten a text to `room` narrow characters, an ellipsis the last."""
    if _width(text) <= room:
        return text
    while _width(text) > room - 1:
        text = text[:-1]
    return f"{text.rstrip()}…"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _escaped(text: str) -> str:
    """Leave out what XML cannot hold, and escape what it would read."""
    return escape("".join(char if char.isprintable() else " " for char in text))
