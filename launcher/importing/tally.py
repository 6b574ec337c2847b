"""What an import did, counted; and how it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from launcher.importing.conversation import Malformed

_MOST_KEPT = 1000


@dataclass(slots=True)
class Tally:
    """Counts of one import. A turn is an answer with what was new before it."""

    conversations: int = 0
    messages: int = 0
    turns: int = 0
    new: int = 0
    there: int = 0
    deleted: int = 0
    counted: int = 0
    malformed: int = 0
    faults: list[Malformed] = field(default_factory=list)

    def refuse(self, fault: Malformed) -> None:
        """Count a record that could not be read or kept."""
        self.malformed += 1
        if len(self.faults) < _MOST_KEPT:
            self.faults.append(fault)

    def rows(self, *, sent: bool) -> list[tuple[str, int]]:
        """Return what to tell people, by what it is called."""
        read = [
            ("conversations", self.conversations),
            ("messages", self.messages),
            ("turns", self.turns),
        ]
        kept = [
            ("new", self.new),
            ("already there", self.there),
            ("deleted earlier", self.deleted),
            ("counted", self.counted),
        ]
        return [*read, *(kept if sent else ()), ("malformed", self.malformed)]

    def as_json(self) -> dict[str, Any]:
        """Return what to tell programs."""
        return {
            "conversations": self.conversations,
            "messages": self.messages,
            "turns": self.turns,
            "new": self.new,
            "already_there": self.there,
            "deleted_earlier": self.deleted,
            "counted": self.counted,
            "malformed": self.malformed,
            "faults": [{"where": each.where, "reason": each.reason} for each in self.faults],
        }
