"""A conversation's tree of messages as the turns it was made of: what was new, and the answer.

Each turn names the one it follows. The path that the conversation's program shows comes
last, so that it is the one to go on with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from launcher.importing.conversation import ImportedConversation, ImportedMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedTurn:
    """What was said since the answer before, and its answer; `key` is the last message's."""

    key: str
    after: str | None  # the turn it follows; None for a first one
    messages: tuple[ImportedMessage, ...]
    reply: ImportedMessage | None
    at_us: int | None  # when its first message was said, else what was said before that
    new: int  # how many of its messages no turn before it had


@dataclass(frozen=True, slots=True)
class _Place:
    """A message to look at, and what leads to it since the last answer."""

    message: ImportedMessage
    after: str | None
    asked: tuple[ImportedMessage, ...]
    at_us: int | None


@dataclass(slots=True)
class Told:
    """Which messages were told already: siblings share the question that they answer."""

    keys: set[str] = field(default_factory=set)

    def count_new(self, messages: Sequence[ImportedMessage]) -> int:
        """Count those that were not, and note that they are now."""
        new = {message.key for message in messages} - self.keys
        self.keys |= new
        return len(new)


def turns_of(conversation: ImportedConversation) -> list[ImportedTurn]:
    """Return the turns, each behind the one it follows, those of the current path last."""
    return list(_walk(conversation))


def path_to(messages: Mapping[str, ImportedMessage], key: str) -> list[str]:
    """Return the keys from a first message to `key`; of a circle, each once."""
    path: dict[str, None] = {}
    at: str | None = key
    while at is not None and at in messages and at not in path:
        path[at] = None
        at = messages[at].parent
    return list(reversed(path))


def _walk(conversation: ImportedConversation) -> Iterator[ImportedTurn]:
    known = {message.key: message for message in conversation.messages}
    if not known:
        return
    last = conversation.current if conversation.current in known else next(reversed(known))
    current = set(path_to(known, last))
    followers = _followers(known, current)
    told = Told()
    waiting = [_Place(first, None, (), conversation.at_us) for first in followers.get(None, ())]
    waiting.reverse()
    while waiting:
        place = waiting.pop()
        message = place.message
        next_ones = followers.get(message.key, ())
        at_us = _time(place)
        answers = message.role == "assistant"
        asked = place.asked if answers else (*place.asked, message)
        if answers or not next_ones:
            reply = message if answers else None
            yield ImportedTurn(
                key=message.key,
                after=place.after,
                messages=asked,
                reply=reply,
                at_us=at_us,
                new=told.count_new((*asked, message)),
            )
        after, asked = (message.key, ()) if answers else (place.after, asked)
        waiting += (_Place(each, after, asked, at_us) for each in reversed(next_ones))


def _followers(
    known: Mapping[str, ImportedMessage], current: set[str]
) -> dict[str | None, list[ImportedMessage]]:
    """Return the messages behind each, that of the current path last; behind None the first."""
    followers: dict[str | None, list[ImportedMessage]] = {}
    for message in known.values():
        parent = message.parent if message.parent in known else None
        followers.setdefault(parent, []).append(message)
    for siblings in followers.values():
        siblings.sort(key=lambda message: message.key in current)
    return followers


def _time(place: _Place) -> int | None:
    """Return when the turn that the message is part of began."""
    if place.asked or place.message.at_us is None:
        return place.at_us
    return place.message.at_us
