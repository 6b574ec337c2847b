"""Which of the passages that were found are of the time that a question asks about. Pure.

To a search a time is never more than a hint. A prompt has little room: where the best
passage is of that time, those of other times are not what is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memory_svc.model import Passage
from memory_svc.retrieval.dates import affinity, times_in

# Of a time's middle; "last week" then begins some thirteen days ago.
_LEAST_AFFINITY = 0.3


def of_its_time(passages: Sequence[Passage], question: str, now_us: int) -> Sequence[Passage]:
    """Return the passages of the time that a question names; all if the first is of another."""
    times = times_in(question, now_us)
    if not times or not passages:
        return passages
    moments = np.array([passage.created_us for passage in passages], dtype=np.int64)
    is_then = affinity(times, moments) >= _LEAST_AFFINITY
    if not is_then[0]:
        return passages
    return [passage for passage, then in zip(passages, is_then, strict=True) if then]
