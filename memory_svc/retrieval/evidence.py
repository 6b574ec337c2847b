"""What speaks for each candidate of a question, in columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Marks = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The candidates of one question, one row for each in every column.

    A window is a turn with the two before it and the one after it; a wide one has four
    before and three after. `turn`, `window` and `wide` are BM25 scores. `coverage` is the
    share, by rarity, of the question's words that are in the window; `matched` counts those
    in the turn.
    `near` is the cosine of the turn alone, `around` of the turn with its neighbours,
    `vicinity` the mean of `around` over the turn and its neighbours, and `asked` that of
    a question directly before the turn. Cosines are 0 where there is no vector.
    """

    message_ids: Ints
    conversations: Ints
    created_us: Ints
    by_user: Bools
    by_named: Bools
    marks: Marks
    turn: Floats
    window: Floats
    wide: Floats
    coverage: Floats
    matched: Ints
    near: Floats
    around: Floats
    vicinity: Floats
    asked: Floats
    words: int  # how many the question has
    compared: bool  # whether meanings were compared at all
    agreement: float  # how far turns are like their own windows only, -1 to 1
    mean_length: float  # words of the owner's messages
    embedded: float = 1.0  # the share of them that has a vector, if meanings are compared

    def __len__(self) -> int:
        return len(self.message_ids)
