"""Tables as the pages of docs/ have them."""

from __future__ import annotations

from collections.abc import Iterable

_TEXT_COLUMNS = ("", "load", "measure", "bar")


def table(head: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    """Return a table: columns with names of texts to the left, the others to the right."""
    rule = tuple("---" if name in _TEXT_COLUMNS else "---:" for name in head)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, rule, *lines))
