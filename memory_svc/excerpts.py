"""The part of a long text that says most about a question. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Sentences and lines; what is longer is cut between words, or anywhere.
_PIECE = re.compile(r".{1,160}?(?:(?<=[.!?])\s+|\n+|\Z)|.{1,160}(?:\s+|\Z)|.{1,160}", re.DOTALL)
_GAP = "…"
_GAP_BYTES = 2 * len(_GAP.encode()) + 2
# So many first letters make two words one: trade, trading, traders.
_STEM = 4
_STEMS = re.compile(rf"(?<!\w)\w{{1,{_STEM}}}")


def excerpt(text: str, words: Iterable[str], size: int) -> str:
    """Return at most `size` bytes of `text`: whole pieces in a row with most of the words.

    `…` stands where something is left out.
    """
    text = text.strip()
    if len(text.encode()) <= size:
        return text
    room = size - _GAP_BYTES
    pieces = _PIECE.findall(text)
    first, last = _best_run(pieces, {word[:_STEM] for word in words}, room)
    kept = "".join(pieces[first:last]).strip()
    if not kept:  # a single piece is too long
        kept = pieces[first].encode()[: max(room, 0)].decode(errors="ignore").strip()
    before = f"{_GAP} " if first else ""
    after = f" {_GAP}" if last < len(pieces) else ""
    return f"{before}{kept}{after}"


def _best_run(pieces: list[str], stems: set[str], room: int) -> tuple[int, int]:
    """Return where the run begins and ends that fits and tells most, the first of equals.

    It is empty, and stands in front of the piece that tells most, where that does not fit.
    """
    sizes = [len(piece.encode()) for piece in pieces]
    tells = [len(stems.intersection(_STEMS.findall(piece.casefold()))) for piece in pieces]
    foremost = tells.index(max(tells))
    if sizes[foremost] > room:
        return foremost, foremost
    best, best_told = (foremost, foremost + 1), tells[foremost]
    first = size = told = 0
    for place in range(len(pieces)):
        size, told = size + sizes[place], told + tells[place]
        # What tells nothing at the beginning of a run leaves room for what follows it.
        while first < place and (size > room or not tells[first]):
            size, told, first = size - sizes[first], told - tells[first], first + 1
        if told > best_told and size <= room:
            best, best_told = (first, place + 1), told
    return _filled(best, sizes, room)


def _filled(run: tuple[int, int], sizes: list[int], room: int) -> tuple[int, int]:
    """Widen a run by what follows it, then by what precedes it, as far as there is room."""
    first, last = run
    room -= sum(sizes[first:last])
    while last < len(sizes) and sizes[last] <= room:
        room, last = room - sizes[last], last + 1
    while first and sizes[first - 1] <= room:
        room, first = room - sizes[first - 1], first - 1
    return first, last
