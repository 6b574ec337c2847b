"""What requests have in common, written once: who asked, what answered, how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

import aiosqlite

from metrics_svc.query import LABELS, LANE, NUMBERS, WHO
from metrics_svc.storage.dims import Kind, Label

KINDS = {
    "user": Kind.USER,
    "project": Kind.PROJECT,
    "key": Kind.KEY,
    "client": Kind.CLIENT,
    "endpoint": Kind.ENDPOINT,
    "model_requested": Kind.MODEL,
    "model_used": Kind.MODEL,
    "backend": Kind.BACKEND,
    "error_reason": Kind.ERROR_REASON,
    "price_version": Kind.PRICE_VERSION,
}
SOURCES = ("user_source", "project_source", "session_source")

# Columns of `combo`, each named like its field.
COLUMNS = (*LABELS, *NUMBERS, *SOURCES)

Combo = tuple[Any, ...]
combo_of = attrgetter(*COLUMNS)

_MOST_REMEMBERED = 50_000


def labels_of(combos: Sequence[Combo]) -> Iterator[Label]:
    """Yield every text of `combos`."""
    for combo in combos:
        yield from zip(KINDS.values(), combo, strict=False)


class Combos:
    """The numbers of combos, remembered between transactions.

    `forget` after a transaction that was rolled back: what it made is gone.
    """

    def __init__(self) -> None:
        self._known: dict[Combo, int] = {}

    def forget(self) -> None:
        """Forget all of them."""
        self._known.clear()

    def unknown(self, combos: Sequence[Combo]) -> list[Combo]:
        """Return those that `numbered` would have to look up."""
        if len(self._known) > _MOST_REMEMBERED:
            self.forget()
        return [it for it in dict.fromkeys(combos) if it not in self._known]

    async def numbered(
        self, tx: aiosqlite.Connection, unknown: Sequence[Combo], ids: Mapping[Label, int]
    ) -> Mapping[Combo, int]:
        """Return where to look up the number of each combo, once `unknown` are made."""
        for combo in unknown:
            columns = _columns(combo, ids)
            who = await _number(tx, "who", {name: columns[name] for name in WHO})
            lane = await _number(tx, "lane", {name: columns[name] for name in LANE})
            await tx.execute(_INSERT["combo"], {"who": who, "lane": lane, **columns})
            self._known[combo] = await _find(tx, "combo", columns)
        return self._known


def _columns(combo: Combo, ids: Mapping[Label, int]) -> dict[str, int]:
    columns = dict(zip(COLUMNS, combo, strict=True))
    return columns | {name: ids.get((kind, columns[name]), 0) for name, kind in KINDS.items()}


async def _number(tx: aiosqlite.Connection, table: str, columns: Mapping[str, int]) -> int:
    await tx.execute(_INSERT[table], columns)
    return await _find(tx, table, columns)


async def _find(tx: aiosqlite.Connection, table: str, columns: Mapping[str, int]) -> int:
    ((number,),) = await tx.execute_fetchall(_FIND[table], columns)
    return int(number)


def _insert(table: str, columns: Sequence[str]) -> str:
    values = ", ".join(f":{name}" for name in columns)
    return f"insert into {table} ({', '.join(columns)}) values ({values}) on conflict do nothing"  # noqa: S608  # fixed names


def _select(table: str, columns: Sequence[str]) -> str:
    alike = " and ".join(f"{name} = :{name}" for name in columns)
    return f"select id from {table} where {alike}"  # noqa: S608  # fixed names


_INSERT = {
    "who": _insert("who", WHO),
    "lane": _insert("lane", LANE),
    "combo": _insert("combo", ("who", "lane", *COLUMNS)),
}
_FIND = {
    "who": _select("who", WHO),
    "lane": _select("lane", LANE),
    "combo": _select("combo", COLUMNS),
}
