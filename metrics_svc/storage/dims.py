"""Texts as small numbers, with a limit on how many are told apart.

A client that puts a new id into every `X-Project` must not blow up the database:
beyond the limit of its kind a new text is stored as `(other)`. Sessions and
conversations have no limit: each is new by nature, they are counted one by one,
and there are never more of them than requests.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import IntEnum

import aiosqlite

OTHER = "(other)"
MAX_LABELS = 10_000
# About 20 MB; what is beyond is looked up again.
_MOST_REMEMBERED = 100_000


class Kind(IntEnum):
    """What a text is. The numbers are stored."""

    USER = 1
    PROJECT = 2
    SESSION = 3
    CONVERSATION = 4
    KEY = 5
    CLIENT = 6
    ENDPOINT = 7
    MODEL = 8
    BACKEND = 9
    ERROR_REASON = 10
    FINISH_REASON = 11
    PRICE_VERSION = 12


_UNLIMITED = (Kind.SESSION, Kind.CONVERSATION)

Label = tuple[Kind, str]


class Labels:
    """The numbers of texts, remembered between transactions.

    `forget` after a transaction that was rolled back: what it made is gone.
    """

    def __init__(self, max_labels: int) -> None:
        self._max_labels = max_labels
        self._known: dict[Label, int] = {}

    def forget(self) -> None:
        """Forget all of them."""
        self._known.clear()

    async def numbered(
        self, tx: aiosqlite.Connection, labels: Iterable[Label]
    ) -> Mapping[Label, int]:
        """Return where to look up the number of each label; empty texts have none."""
        if len(self._known) > _MOST_REMEMBERED:
            self.forget()
        if new := [it for it in dict.fromkeys(labels) if it[1] and it not in self._known]:
            self._known |= await _ids_of(tx, new, self._max_labels)
        return self._known


async def _ids_of(
    tx: aiosqlite.Connection, wanted: list[Label], max_labels: int
) -> dict[Label, int]:
    """Return the id of each label, making those that are new."""
    known = await _known(tx, wanted)
    room: dict[Kind, int] = {}
    made: list[Label] = []
    folded: list[Label] = []
    for label in wanted:
        if label in known:
            continue
        kind = label[0]
        if kind not in room:
            room[kind] = await _room(tx, kind, max_labels)
        (made if room[kind] > 0 else folded).append(label)
        room[kind] -= 1
    others = {kind: (kind, OTHER) for kind, _ in folded}
    await tx.executemany(
        "insert into dim (kind, value) values (?, ?) on conflict (kind, value) do nothing",
        [*made, *others.values()],
    )
    known |= await _known(tx, [*made, *others.values()])
    return known | {label: known[others[label[0]]] for label in folded}


async def values_of(
    connection: aiosqlite.Connection, ids: Iterable[int | None]
) -> Mapping[int | None, str]:
    """Return the text of each id; no id and 0 have the empty text."""
    wanted = json.dumps([number for number in set(ids) if number])
    rows = await connection.execute_fetchall(
        "select id, value from dim where id in (select value from json_each(?))", (wanted,)
    )
    return {None: "", 0: ""} | {row["id"]: row["value"] for row in rows}


async def _known(tx: aiosqlite.Connection, labels: Iterable[Label]) -> dict[Label, int]:
    rows = await tx.execute_fetchall(
        "select dim.id, dim.kind, dim.value from json_each(?) as wanted cross join dim"
        " on dim.kind = wanted.value ->> 0 and dim.value = wanted.value ->> 1",
        (json.dumps(list(labels)),),
    )
    return {(Kind(row["kind"]), row["value"]): row["id"] for row in rows}


async def _room(tx: aiosqlite.Connection, kind: Kind, max_labels: int) -> int:
    """Return how many more texts of a kind may be told apart."""
    if kind in _UNLIMITED:
        return 2**31
    rows = await tx.execute_fetchall("select count(*) from dim where kind = ?", (kind,))
    (row,) = rows
    return max_labels - int(row[0])
