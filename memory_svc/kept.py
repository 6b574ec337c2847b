"""What a person keeps on purpose and what they have forgotten: the values of it.

Beside `model`, which has the values of what was said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from memory_svc.model import Passage


@dataclass(frozen=True, slots=True)
class NewNote:
    """A text to keep; a `project` of '' is all of the user's."""

    text: str
    project: str = ""
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """A note or a pinned message, and the project whose recalls it is in; '' for all.

    Of a message that is neither, the project is its conversation's.
    """

    message_id: int
    conversation_id: str
    text: str
    project: str
    pinned: bool
    created_us: int
    role: str


@dataclass(frozen=True, slots=True)
class NoteFilter:
    """Which notes to list; those for all projects are among every project's."""

    project: str = ""
    pinned_only: bool = False


@dataclass(frozen=True, slots=True)
class TheseMessages:
    """Messages by number, to forget."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OneConversation:
    """A conversation to forget."""

    id: str


@dataclass(frozen=True, slots=True)
class OneProject:
    """All of a project, to forget."""

    name: str


@dataclass(frozen=True, slots=True)
class Everything:
    """All that is kept of a user, to forget."""


# What a store can forget. A topic is made messages of before it gets there.
Target: TypeAlias = TheseMessages | OneConversation | OneProject | Everything


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How much is gone, or would go; `passages` are what a topic is about."""

    messages: int = 0
    conversations: int = 0
    notes: int = 0
    recalls: int = 0
    passages: tuple[Passage, ...] = ()
