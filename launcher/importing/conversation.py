"""What every format is read into: conversations as trees of messages, and what could not be read.

Times are microseconds since 1970 UTC; None is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool by the model; `arguments` as the model wrote them."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What an answer used, as its source says; `prompt` includes what was cached."""

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    nano_usd: int | None = None

    @property
    def known(self) -> bool:
        """Tell whether the source counted tokens."""
        return self.prompt is not None or self.completion is not None


NOTHING_KNOWN = Spent()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedMessage:
    """Something that was said. `key` names it within its kind of source, for good."""

    key: str
    parent: str | None  # the key of the message it follows; None for a first one
    role: Role
    text: str
    at_us: int | None = None
    calls: tuple[Call, ...] = ()
    call_id: str = ""  # the call that a tool's message answers
    model: str = ""
    backend: str = ""
    local: bool = False
    spent: Spent = NOTHING_KNOWN
    # Whether it ended a request; one of an answer's steps need not have.
    counted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedConversation:
    """A conversation, its messages in any order.

    `current` is the message that its program shows last, '' for the last of `messages`.
    `where` is its place in the source, for people.
    """

    id: str
    where: str
    messages: tuple[ImportedMessage, ...]
    current: str = ""
    title: str = ""
    project: str = ""
    session: str = ""
    user: str = ""  # whom the source says it belongs to
    at_us: int | None = None
    # False for what no person took part in: it was used, but nobody said it.
    remembered: bool = True


@dataclass(frozen=True, slots=True)
class Malformed:
    """A record that could not be read, and why."""

    where: str
    reason: str


Imported = ImportedConversation | Malformed
