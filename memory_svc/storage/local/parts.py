"""The vectors of parts of long messages on an owner's shelf."""

from __future__ import annotations

import numpy as np

from memory_svc.model import Vector
from memory_svc.storage.local.columns import grown
from memory_svc.storage.local.nearest import Packed
from memory_svc.storage.local.vectors import Allowed, Places, Vectors


class Parts:
    """Vectors by part, and the place of the message of each."""

    def __init__(self, dimensions: int) -> None:
        self.vectors = Vectors(dimensions)
        self._places: Places = np.empty(0, dtype=np.int64)

    def put(self, places: Places, packed: Packed) -> None:
        """Add parts of the messages at these places."""
        self.vectors.put(np.arange(len(self._places), len(self._places) + len(places)), packed)
        self._places = grown(self._places, places)

    def nearest(self, query: Vector, count: int, allowed: Allowed | None) -> tuple[Places, Vector]:
        """Return the places of the messages with the nearest parts, and each one's best cosine."""
        if not len(self._places):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        of_allowed = None if allowed is None else allowed[self._places]
        found = self.vectors.nearest(query, count, of_allowed)
        places, row = np.unique(self._places[found], return_inverse=True)
        cosines = np.zeros(len(places), dtype=np.float32)
        np.maximum.at(cosines, row, self.vectors.cosines(query, found))
        return places, cosines
