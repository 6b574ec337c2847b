"""Tables on standard output: as wide as a terminal, or wide enough where it is none."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

# A pipe has no width; a line that is cut in two is of no use to grep.
_PIPE_WIDTH = 500


class Room(Enum):
    """What happens to a column where a terminal is too narrow."""

    KEPT = "others give way first"
    WRAPPED = "its texts go on in the next line"
    CUT = "its texts end with an ellipsis"


@dataclass(frozen=True, slots=True)
class Column:
    """A column's title, and how it stands."""

    title: str
    room: Room = Room.KEPT
    right: bool = False


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print `rows` under their titles; a column that is empty in all of them is left out."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    texts = [[_one_line(cell) for cell in row] for row in rows]
    kept = [place for place, _ in enumerate(columns) if any(row[place] for row in texts)]
    for column in (columns[place] for place in kept):
        table.add_column(
            Text(column.title, no_wrap=True, overflow="ellipsis"),
            justify="right" if column.right else "left",
            no_wrap=column.room is Room.KEPT,
            overflow="ellipsis",
        )
    for row in texts:
        table.add_row(*(_cell(row[place], columns[place]) for place in kept))
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    console = Console(width=width, highlight=False)
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def _cell(text: str, column: Column) -> Text:
    return Text(text, no_wrap=column.room is not Room.WRAPPED, overflow="ellipsis")


def _one_line(cell: str) -> str:
    """Make what a stranger's server said fit for a row."""
    return "".join(char for char in " ".join(cell.split()) if char.isprintable())
