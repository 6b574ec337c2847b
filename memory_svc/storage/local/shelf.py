"""One owner's searchable messages in columns: what a search needs of all of them at once.

A shelf is a cache of the rows in `passage_trait`. A message's place on it follows from
its number; `NOWHERE` is the place of a neighbour that there is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_svc.model import VectorKind
from memory_svc.retrieval.evidence import Bools, Floats, Ints, Marks
from memory_svc.storage.local.columns import grown
from memory_svc.storage.local.parts import Parts
from memory_svc.storage.local.vectors import Places, Vectors

NOWHERE = -1  # as an index it finds the last entry, which columns of neighbours have for it
_BACK, _FORTH = 4, 3

# In this order rows come to a shelf.
COLUMNS = "message, before, conversation, by_user, created_us, speaker, length, marks"


class Shelf:
    """An owner's messages by place, and what vectors of one model they have."""

    def __init__(self) -> None:
        self.ids: Ints = np.empty(0, dtype=np.int64)
        self.conversations: Ints = np.empty(0, dtype=np.int64)
        self.created_us: Ints = np.empty(0, dtype=np.int64)
        self.by_user: Bools = np.empty(0, dtype=np.bool_)
        self.marks: Marks = np.empty(0, dtype=np.uint8)
        # These have one entry more, for NOWHERE.
        self.lengths: Floats = np.zeros(1, dtype=np.float32)
        self.befores: Places = np.full(1, NOWHERE)
        self.afters: Places = np.full(1, NOWHERE)
        self.speakers: dict[str, int] = {"": 0}
        self._spoken_by: NDArray[np.int32] = np.empty(0, dtype=np.int32)
        self._words = 0
        self.model, self.dimensions = 0, 0  # of its vectors
        self.seen = -1  # how many of the database's transactions it knows
        self.vectors: dict[VectorKind, Vectors] = {}
        self.parts: Parts | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def last_id(self) -> int:
        """The greatest number on it; 0 if it is empty."""
        return int(self.ids[-1]) if len(self) else 0

    @property
    def mean_length(self) -> float:
        """How many words a message has."""
        return self._words / len(self) if len(self) else 0.0

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes."""
        return 64 * len(self) + sum(each.size_bytes for each in self.all_vectors())

    def all_vectors(self) -> list[Vectors]:
        """Return the vectors of every kind."""
        return [*self.vectors.values(), *([self.parts.vectors] if self.parts else [])]

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows of `COLUMNS` in the order of their numbers, all greater than those here."""
        if not rows:
            return
        first = len(self)
        ids, befores, conversations, by_user, created, speakers, lengths, marks = zip(
            *rows, strict=True
        )
        self.ids = grown(self.ids, np.array(ids, dtype=np.int64))
        self.conversations = grown(self.conversations, np.array(conversations, dtype=np.int64))
        self.created_us = grown(self.created_us, np.array(created, dtype=np.int64))
        self.by_user = grown(self.by_user, np.array(by_user, dtype=np.bool_))
        self.marks = grown(self.marks, np.array(marks, dtype=np.uint8))
        codes = [self.speakers.setdefault(name, len(self.speakers)) for name in speakers]
        self._spoken_by = grown(self._spoken_by, np.array(codes, dtype=np.int32))
        self._words += sum(lengths)
        self.lengths = grown(self.lengths[:-1], np.array((*lengths, 0), dtype=np.float32))
        before = self.places(np.array(befores, dtype=np.int64))
        self.befores = grown(self.befores[:-1], np.append(before, NOWHERE))
        self.afters = grown(self.afters[:-1], np.full(len(rows) + 1, NOWHERE))
        followed = before >= 0
        # Of several that follow the same, the newest is on the path that goes on.
        self.afters[before[followed]] = np.flatnonzero(followed) + first

    def places(self, ids: Ints) -> Places:
        """Return where messages are; NOWHERE for those that are not here."""
        if not len(self):
            return np.full(len(ids), NOWHERE)
        found = np.minimum(np.searchsorted(self.ids, ids), len(self) - 1)
        return np.where(self.ids[found] == ids, found, NOWHERE)

    def spoken_by(self, name: str, places: Places) -> Bools:
        """Tell which messages bear this speaker's name."""
        code = self.speakers.get(name, -1) if name else -1
        return np.asarray(self._spoken_by[places] == code)

    def slots(self, places: Places) -> Places:
        """Return a row for each place: the four before it, itself, the three after it."""
        slots = np.empty((len(places), _BACK + 1 + _FORTH), dtype=np.int64)
        slots[:, _BACK] = places
        for back in range(_BACK - 1, -1, -1):
            slots[:, back] = self.befores[slots[:, back + 1]]
        for forth in range(_BACK + 1, _BACK + 1 + _FORTH):
            slots[:, forth] = self.afters[slots[:, forth - 1]]
        return slots
