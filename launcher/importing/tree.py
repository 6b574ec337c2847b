"""Links messages to the ones they follow, where a source has more than was said.

A source's tree has entries that hold nothing that was said (instructions, thoughts,
notices) and entries that hold several messages (an answer with its tools). What follows
an entry follows the last message in it, or in the ones before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from launcher.importing.conversation import ImportedMessage


@dataclass(slots=True)
class Tree:
    """The entries of one conversation, added in any order."""

    _parents: dict[str, str | None] = field(default_factory=dict)
    _said: dict[str, Sequence[ImportedMessage]] = field(default_factory=dict)

    def add(self, key: str, parent: str | None, said: Sequence[ImportedMessage] = ()) -> None:
        """Add an entry, and what was said in it, one after the other."""
        self._parents[key] = parent
        self._said[key] = said

    def messages(self) -> tuple[ImportedMessage, ...]:
        """Return what was said, each message with the one it follows."""
        linked: list[ImportedMessage] = []
        for key, said in self._said.items():
            before = self.last_said(self._parents[key]) if said else ""
            for message in said:
                linked.append(replace(message, parent=before or None))
                before = message.key
        return tuple(linked)

    def last_said(self, key: str | None) -> str:
        """Return the key of the last message in an entry or before it; '' for none."""
        seen: set[str] = set()
        while key is not None and key in self._parents and key not in seen:
            if said := self._said[key]:
                return said[-1].key
            seen.add(key)
            key = self._parents[key]
        return ""
