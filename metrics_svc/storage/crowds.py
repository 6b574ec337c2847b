"""Who was there each day: the different sessions and conversations, packed.

Counting different ones of a year would look at each a few hundred times in SQL; sorted
numbers of four bytes are counted many times faster. `presence15` is what they are made of.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiosqlite
import numpy as np
import numpy.typing as npt

_IDS = np.dtype("<u4")
Ids = npt.NDArray[np.uint32]
Place = tuple[int, int]

_PLACES = """json_each(?) as it cross join day on day.day = it.value ->> 0
cross join presence15 as seen on bucket >= first and bucket < after and seen.who = it.value ->> 1"""

_KEPT = """
select seen.* from json_each(?) as it
cross join presence_day as seen on day = it.value ->> 0 and who = it.value ->> 1
"""
_PRESENT = f"select day.day, who, session, conversation from {_PLACES}"  # noqa: S608  # fixed names
_EVERYBODY = """
select day.day, who, session, conversation
from day cross join presence15 on bucket >= first and bucket < after
"""
_WRITE = "insert or replace into presence_day values (?, ?, ?, ?, ?)"
_EMPTY = "delete from presence_day where day = ? and who = ?"


@dataclass(frozen=True, slots=True)
class Crowd:
    """Different ids, sorted; `loose` are conversations outside any session."""

    sessions: Ids
    conversations: Ids
    loose: Ids

    def packed(self) -> tuple[bytes, bytes, bytes]:
        """Return each as bytes."""
        return self.sessions.tobytes(), self.conversations.tobytes(), self.loose.tobytes()

    def counts(self) -> list[int]:
        """Return how many there are of each."""
        return [self.sessions.size, self.conversations.size, self.loose.size]


def crowd_of(seen: Iterable[tuple[int, int]]) -> Crowd:
    """Return the crowd of pairs of session and conversation; 0 is none."""
    table = np.array(list(seen), dtype=_IDS).reshape(-1, 2)
    sessions, conversations = table[:, 0], table[:, 1]
    loose = conversations[sessions == 0]
    return Crowd(_different(sessions), _different(conversations), _different(loose))


def together(crowds: Iterable[Sequence[Any]]) -> Crowd:
    """Return one crowd of several packed ones."""
    parts = (np.frombuffer(b"".join(blobs), _IDS) for blobs in zip(*crowds, strict=True))
    return Crowd(*map(_different, parts))


async def add_crowds(tx: aiosqlite.Connection, rows: Iterable[Sequence[int]]) -> None:
    """Add rows of day, who, session and conversation to those that are there."""
    coming = _by_place(rows)
    kept = await tx.execute_fetchall(_KEPT, (json.dumps(list(coming)),))
    before = {(row[0], row[1]): tuple(row[2:]) for row in kept}
    crowds = {
        place: together([crowd_of(seen).packed(), *([before[place]] if place in before else ())])
        for place, seen in coming.items()
    }
    await _write(tx, crowds)


async def count_again(tx: aiosqlite.Connection, places: Iterable[Place]) -> None:
    """Make the crowds of some days and askers anew."""
    wanted = list(places)
    rows = await tx.execute_fetchall(_PRESENT, (json.dumps(wanted),))
    found = _by_place(rows)
    await tx.executemany(_EMPTY, [place for place in wanted if place not in found])
    await _write(tx, {place: crowd_of(seen) for place, seen in found.items()})


async def count_all(tx: aiosqlite.Connection) -> None:
    """Make the crowds of all days; there are none yet."""
    rows = await tx.execute_fetchall(_EVERYBODY)
    await _write(tx, {place: crowd_of(seen) for place, seen in _by_place(rows).items()})


def _by_place(rows: Iterable[Sequence[int]]) -> Mapping[Place, list[tuple[int, int]]]:
    found: defaultdict[Place, list[tuple[int, int]]] = defaultdict(list)
    for day, who, session, conversation in rows:
        found[day, who].append((session, conversation))
    return found


async def _write(tx: aiosqlite.Connection, crowds: Mapping[Place, Crowd]) -> None:
    rows = [(*place, *crowd.packed()) for place, crowd in crowds.items()]
    await tx.executemany(_WRITE, rows)


def _different(ids: Ids) -> Ids:
    """Return the different ones, sorted, and none that is 0.

    Not by `numpy.unique`, which hashes them and takes ten times as long.
    """
    ordered = np.sort(ids[ids > 0])
    first = np.ones(ordered.size, dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return ordered[first]
