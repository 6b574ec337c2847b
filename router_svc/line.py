"""Who is served next, and in which order everybody else. Pure.

Three rules, in this order of weight:

1. Classes: interactive before agent before batch. A class whose requests wait is passed
   over by higher ones at most `PASSED_AT_MOST` times in a row; then one of it is served.
2. Keys of one class take turns, one request each; a key that begins to wait goes to the
   end of the turns. So while a request is the next of its key, no other key is served twice.
3. Requests of one key in one class are served in the order of their arrival.

Nothing is remembered of a key without waiting requests: coming back earns it no earlier
turn than staying would have.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

PASSED_AT_MOST = 8


class Priority(StrEnum):
    """How soon somebody needs the answer; declared in the order of precedence."""

    INTERACTIVE = "interactive"
    AGENT = "agent"
    BATCH = "batch"


_RANK = {priority: rank for rank, priority in enumerate(Priority)}


class Line(Generic[T]):
    """Distinct items that wait; adding, removing and taking one cost O(1)."""

    def __init__(self) -> None:
        # Ordered dicts as queues: the first is next, and any can leave at once.
        self._turns: list[OrderedDict[str, OrderedDict[T, None]]] = [OrderedDict() for _ in _RANK]
        self._waiting = [0 for _ in _RANK]
        self._passed = [0 for _ in _RANK]

    def __len__(self) -> int:
        return sum(self._waiting)

    def add(self, item: T, priority: Priority, key: str) -> None:
        """Put `item` behind those of its key."""
        rank = _RANK[priority]
        self._turns[rank].setdefault(key, OrderedDict())[item] = None
        self._waiting[rank] += 1

    def remove(self, item: T, priority: Priority, key: str) -> None:
        """Take `item` out, wherever it stands."""
        rank = _RANK[priority]
        turns = self._turns[rank]
        del turns[key][item]
        if not turns[key]:
            del turns[key]
        self._waiting[rank] -= 1
        if not self._waiting[rank]:
            self._passed[rank] = 0

    def pop(self) -> T:
        """Take out who is next."""
        rank = _serve(self._waiting, self._passed)
        turns = self._turns[rank]
        key, items = next(iter(turns.items()))
        item, _ = items.popitem(last=False)
        if items:
            turns.move_to_end(key)
        else:
            del turns[key]
        return item

    def order(self) -> Iterator[T]:
        """Yield everybody as `pop` would, if nobody came or left from now on."""
        waiting, passed = self._waiting.copy(), self._passed.copy()
        classes = [_in_turns(turns) for turns in self._turns]
        while any(waiting):
            yield next(classes[_serve(waiting, passed)])

    def ahead_of_newcomer(self, priority: Priority, key: str) -> int:
        """Count the requests of its class and higher ones that go before one that came now."""
        rank = _RANK[priority]
        turns = self._turns[rank]
        own = len(turns.get(key, ()))
        ahead = sum(self._waiting[:rank])
        rounds = own + 1  # keys whose turn is before its own get one more
        for other, items in turns.items():
            if other == key:
                rounds = own
            ahead += min(len(items), rounds)
        return ahead


def _in_turns(turns: OrderedDict[str, OrderedDict[T, None]]) -> Iterator[T]:
    rest = deque(iter(items) for items in turns.values())
    while rest:
        items = rest.popleft()
        for item in items:
            yield item
            rest.append(items)
            break


def _serve(waiting: list[int], passed: list[int]) -> int:
    """Return the class that is next; count its request as served, and whom it passed."""
    present = [rank for rank, count in enumerate(waiting) if count]
    # Of several that were passed too often the lowest: a higher one may still go before it.
    chosen = next((rank for rank in reversed(present) if passed[rank] >= PASSED_AT_MOST), None)
    chosen = present[0] if chosen is None else chosen
    for rank in present:
        passed[rank] += rank > chosen
    waiting[chosen] -= 1
    passed[chosen] = 0
    return chosen
