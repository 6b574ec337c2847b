"""What a memory of several people must let each of them find, told in the plainest way.

Every text is said once, so that a text names its message. Trees are `naive_memory`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from memory_svc.model import SearchFilter
from tests.memory.naive_memory import NaiveConversation, Path

Place = tuple[str, str]  # a user and the id of one of their conversations


@dataclass
class Chat:
    """A conversation; `kept` ones stay when the last turn in them is deleted."""

    project: str = ""
    session: str = ""
    tags: tuple[str, ...] = ()
    kept: bool = False
    tree: NaiveConversation = field(default_factory=NaiveConversation)

    def texts(self) -> dict[str, Path]:
        return {path[-1][1]: path for path in self.tree.ages}


@dataclass
class Pin:
    """A note or a pinned message."""

    project: str
    pinned: bool
    written: bool


@dataclass
class NaivePeople:
    """Everything that was said and is not deleted."""

    chats: dict[Place, Chat] = field(default_factory=dict)
    said_us: dict[str, int] = field(default_factory=dict)  # when each text was said
    generated: set[str] = field(default_factory=set)
    corrected: dict[str, str] = field(default_factory=dict)
    pins: dict[str, Pin] = field(default_factory=dict)

    def texts(self, user: str) -> dict[str, Place]:
        """Return what is stored of a user, and where."""
        return {
            text: place
            for place, chat in self.chats.items()
            if place[0] == user
            for text in chat.texts()
        }

    def findable(self, user: str, where: SearchFilter) -> dict[str, Place]:
        """Return what a search of a user may find, as it was said, and where."""
        return {
            text: place
            for place, chat in self.chats.items()
            if place[0] == user and _is_in(where, place[1], chat)
            for text, path in chat.texts().items()
            if self._may_be_found(text, path[-1][0], where)
        }

    def as_found(self, text: str) -> str:
        return self.corrected.get(text, text)

    def notes(self, user: str) -> dict[str, Pin]:
        stored = self.texts(user)
        return {text: pin for text, pin in self.pins.items() if text in stored}

    def delete_turn(self, place: Place, name: str) -> None:
        chat = self.chats[place]
        chat.tree.delete_turn(name)
        if not chat.kept and not chat.tree.ages and not chat.tree.turns:
            del self.chats[place]

    def forget_messages(self, user: str, texts: list[str]) -> None:
        """Delete the user's own among these, and conversations that they leave empty."""
        for text in texts:
            place = self.texts(user).get(text)
            if place is None:
                continue
            chat = self.chats[place]
            chat.tree.delete_message(chat.texts()[text])
            if not chat.tree.ages:
                del self.chats[place]

    def forget_project(self, user: str, project: str) -> None:
        for place in [p for p, chat in self._of(user) if chat.project == project]:
            del self.chats[place]

    def forget_everything(self, user: str) -> None:
        for place in [place for place, _ in self._of(user)]:
            del self.chats[place]

    def _of(self, user: str) -> Iterator[tuple[Place, Chat]]:
        return ((place, chat) for place, chat in self.chats.items() if place[0] == user)

    def _may_be_found(self, text: str, role: str, where: SearchFilter) -> bool:
        said_us = self.said_us[text]
        return (
            role in ("user", "assistant")
            and text not in self.generated
            and (not where.roles or role in where.roles)
            and (where.start_us is None or said_us >= where.start_us)
            and (where.end_us is None or said_us < where.end_us)
        )


def _is_in(where: SearchFilter, conversation_id: str, chat: Chat) -> bool:
    return (
        where.project in ("", chat.project)
        and where.session_id in ("", chat.session)
        and where.conversation_id in ("", conversation_id)
        and where.exclude_conversation_id != conversation_id
        and (not where.tags or bool(set(where.tags) & set(chat.tags)))
    )
