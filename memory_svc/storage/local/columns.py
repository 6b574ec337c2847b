"""Columns that grow at their end without being copied each time."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)

_GROWTH = 1.5


def grown(array: NDArray[T], added: NDArray[T]) -> NDArray[T]:
    """Append as `np.append` does, but into room behind the array if it has some.

    So adding a little to much is cheap. What was behind the array is overwritten.
    """
    count, room = len(array), array.base
    if room is None or room.ndim != 1 or len(room) < count + len(added):
        room = np.empty(max(count + len(added), int(count * _GROWTH)), dtype=array.dtype)
        room[:count] = array
    room[count : count + len(added)] = added
    return room[: count + len(added)]
