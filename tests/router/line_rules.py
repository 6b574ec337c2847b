"""The rules of a waiting line, checked against what happened; written apart from the line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from router_svc.line import PASSED_AT_MOST, Priority

PRECEDENCE = [Priority.INTERACTIVE, Priority.AGENT, Priority.BATCH]


@dataclass(slots=True)
class Witness:
    """Watches who comes, is served and leaves, and notes each broken rule in `broken`."""

    broken: list[str] = field(default_factory=list)
    served: list[int] = field(default_factory=list)
    waiting: dict[int, tuple[Priority, str]] = field(default_factory=dict)
    _passed: Counter[Priority] = field(default_factory=Counter)
    # How often another key was served since this key's last turn, by class.
    _overtaken: Counter[tuple[Priority, str, str]] = field(default_factory=Counter)

    def came(self, who: int, priority: Priority, key: str) -> None:
        """Note one that waits from now on."""
        self.waiting[who] = priority, key

    def left(self, who: int) -> None:
        """Note one that gave up."""
        del self.waiting[who]
        self._forget_absent()

    def was_served(self, who: int) -> None:
        """Note one that was admitted, and judge whether it was its turn."""
        self.broken += self._faults(who)
        priority, key = self.waiting.pop(who)
        self.served.append(who)
        for lower in PRECEDENCE[PRECEDENCE.index(priority) + 1 :]:
            self._passed[lower] += 1
        self._passed[priority] = 0
        for other in {k for p, k in self.waiting.values() if p is priority and k != key}:
            self._overtaken[priority, other, key] += 1
        for triple in [t for t in self._overtaken if t[:2] == (priority, key)]:
            del self._overtaken[triple]
        self._forget_absent()
        self.broken += [f"{t} after {who}" for t, count in self._overtaken.items() if count > 1]
        self.broken += [f"{p} starves" for p, count in self._passed.items() if count > 8]

    def _faults(self, who: int) -> Iterator[str]:
        priority, key = self.waiting[who]
        same = [other for other, ask in self.waiting.items() if ask == (priority, key)]
        if same[0] != who:
            yield f"{who} before {same[0]} of the same key"
        highest = min((p for p, _ in self.waiting.values()), key=PRECEDENCE.index)
        if priority is not highest and self._passed[priority] < PASSED_AT_MOST:
            yield f"{who} of {priority} before those of {highest}"

    def _forget_absent(self) -> None:
        present = set(self.waiting.values())
        for triple in [t for t in self._overtaken if t[:2] not in present]:
            del self._overtaken[triple]
        for priority in [p for p in self._passed if p not in {p for p, _ in present}]:
            del self._passed[priority]
