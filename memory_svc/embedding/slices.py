"""Cut texts to embed into slices: short ones together, so that no slice takes long.

A slice is the most that a question waits for. Texts of one slice are filled up to the
longest of them, so neighbours in length go together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_MOST_TEXTS = 8
# About 250 tokens, however they are written; a text by itself may have more.
_MOST_BYTES = 1000


def slices(texts: Sequence[str]) -> Iterator[list[int]]:
    """Yield the places of the texts that are embedded together, the shortest first."""
    lengths = [len(text.encode(errors="replace")) for text in texts]
    taken: list[int] = []
    for place in sorted(range(len(texts)), key=lengths.__getitem__):
        # The newest is the longest, and all count as long as it.
        if taken and _is_full(len(taken) + 1, lengths[place]):
            yield taken
            taken = []
        taken.append(place)
    if taken:
        yield taken


def _is_full(count: int, longest: int) -> bool:
    return count > _MOST_TEXTS or count * longest > _MOST_BYTES
