"""What can be done with conversations: begin, continue, read, change, delete.

The rules that need no storage are functions here; the tree's hashes are in `tree`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import uuid_utils

from memory_svc.model import (
    Conversation,
    ConversationChange,
    ConversationFilter,
    Fate,
    History,
    Message,
    NewConversation,
    PathNode,
    Refusal,
    Stats,
    StoredMessage,
    TreePath,
    Turn,
)
from memory_svc.records import record_fault
from memory_svc.storage.base import MemoryStore
from memory_svc.tree import attempt_length, split_system
from memory_svc.turns import turn_not_found
from svckit.errors import ServiceError
from svckit.times import now_us

MAX_ID = 256
_NO_HISTORY = History()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of a batch of turns."""

    stored: int
    duplicates: int
    deleted: int
    refusals: tuple[Refusal, ...]


class Conversations:
    """The use cases over one store; `on_stored` is called after messages were stored."""

    def __init__(self, store: MemoryStore, *, on_stored: Callable[[], None]) -> None:
        self._store = store
        self._on_stored = on_stored

    async def create(self, new: NewConversation) -> Conversation:
        """Begin a conversation; `new.id` is made up if empty."""
        conversation_id = new.id or str(uuid_utils.uuid7())
        created = await self._store.create(replace(new, id=conversation_id), now_us())
        if created is None:
            raise ServiceError(
                "CONVERSATION_EXISTS",
                f"a conversation {conversation_id!r} exists already; choose another id",
                conversation_id=conversation_id,
            )
        return created

    async def append(self, turns: Sequence[Turn]) -> Appended:
        """Store turns; one that can never be stored is refused and stops no other."""
        refused = [(turn, refusal(turn)) for turn in turns]
        refusals = tuple(Refusal(turn.request_id, why) for turn, why in refused if why)
        accepted = [turn for turn, why in refused if not why]
        fates = await self._store.append(accepted) if accepted else []
        if Fate.STORED in fates:
            self._on_stored()
        return Appended(
            stored=fates.count(Fate.STORED),
            duplicates=fates.count(Fate.DUPLICATE),
            deleted=fates.count(Fate.DELETED),
            refusals=refusals,
        )

    async def history(
        self,
        user_id: str,
        conversation_id: str,
        messages: Sequence[Message],
        *,
        after_request_id: str = "",
        retry_of: str = "",
    ) -> History:
        """Return what goes in front of a client's new messages.

        With `after_request_id` the path that ends in the answer to that request,
        whatever the messages are. What is kept of the request `retry_of`, which the
        messages repeat, is not among it.
        """
        if after_request_id:
            after = await self._store.path_after(user_id, conversation_id, after_request_id)
            if after is None:
                where = f"the conversation {conversation_id!r} has"
                raise turn_not_found(after_request_id, where)
            return _in_front(after.system, after.nodes, messages)
        if any(message.role == "assistant" for message in messages):
            return _NO_HISTORY
        path = await self._store.active_path(user_id, conversation_id)
        if path is None or path.resent:
            return _NO_HISTORY
        before = await self._store.turn(user_id, retry_of) if retry_of else None
        answered = before is not None and before.conversation_id == conversation_id
        return history_of(path, messages, answered=answered)

    async def get(self, user_id: str | None, conversation_id: str) -> Conversation:
        """Return one conversation; of all users' the latest changed if `user_id` is None."""
        found = await self._store.conversation(user_id, conversation_id)
        return _existing(found, conversation_id)

    async def messages(
        self,
        user_id: str,
        conversation_id: str,
        *,
        after: int,
        limit: int,
        include_inactive: bool,
    ) -> list[StoredMessage]:
        """List a conversation's messages from behind `after`, oldest first."""
        conversation = await self.get(user_id, conversation_id)
        return await self._store.messages(
            conversation.key, after, limit, include_inactive=include_inactive
        )

    async def page(
        self, where: ConversationFilter, after: tuple[int, int] | None, limit: int
    ) -> tuple[list[Conversation], int]:
        """List conversations from behind `after`, and count those of all pages."""
        listed = await self._store.conversations(where, after, limit)
        return listed, await self._store.count_conversations(where)

    async def update(
        self, user_id: str, conversation_id: str, change: ConversationChange
    ) -> Conversation:
        """Change a conversation and return it."""
        changed = await self._store.update(user_id, conversation_id, change, now_us())
        return _existing(changed, conversation_id)

    async def delete(self, user_id: str, conversation_id: str) -> int:
        """Delete a conversation and all derived from it; return how many messages it had."""
        deleted = await self._store.delete(user_id, conversation_id, now_us())
        return _existing(deleted, conversation_id)

    async def delete_message(
        self, user_id: str, conversation_id: str, message_id: int
    ) -> Conversation:
        """Delete a message and all derived from it; return the conversation without it."""
        conversation = await self.get(user_id, conversation_id)
        if not await self._store.delete_message(conversation.key, message_id, now_us()):
            raise ServiceError(
                "MESSAGE_NOT_FOUND",
                f"the conversation {conversation_id!r} has no message {message_id}",
                message_id=str(message_id),
            )
        return await self.get(user_id, conversation_id)

    async def stats(self, user_id: str | None) -> Stats:
        """Count what is kept of a user; of all if None."""
        return await self._store.stats(user_id)


def refusal(turn: Turn) -> str:
    """Say why a turn can never be stored; '' if it can."""
    limited = {
        "request_id": turn.request_id,
        "conversation_id": turn.conversation_id,
        "caller.user_id": turn.user_id,
    }
    for name, value in limited.items():
        if not value:
            return f"{name} is empty"
        if len(value) > MAX_ID:
            return f"{name} has {len(value)} characters; at most {MAX_ID} are kept"
    if not turn.messages and turn.reply is None:
        return "the turn has no messages"
    for index, message in enumerate(turn.messages):
        if not message.role:
            return f"messages[{index}].role is empty"
    return record_fault(turn.record) if turn.record else ""


def history_of(path: TreePath, messages: Sequence[Message], *, answered: bool = False) -> History:
    """Put the active path in front of messages that continue it.

    A path that ends in these very messages, unanswered or with an answer that broke off,
    is an earlier attempt at the same request; they are not repeated. Where that attempt
    is known to have been `answered`, neither is its whole answer.
    """
    _, fresh = split_system(messages)
    length = attempt_length(path.nodes, fresh, answered=answered)
    nodes = path.nodes[: len(path.nodes) - length]
    return _in_front(path.system, nodes, messages) if nodes else _NO_HISTORY


def _in_front(
    system: Sequence[Message], nodes: Sequence[PathNode], messages: Sequence[Message]
) -> History:
    """Put a path in front of messages, whose own system messages stay before it."""
    own, _ = split_system(messages)
    kept = () if own else system
    return History(
        messages=(*kept, *(node.message for node in nodes)),
        insert_index=len(own),
        head=nodes[-1].hash.hex() if nodes else "",
    )


def _existing(found: T | None, conversation_id: str) -> T:
    if found is None:
        raise ServiceError(
            "CONVERSATION_NOT_FOUND",
            f"this user has no conversation {conversation_id!r}",
            conversation_id=conversation_id,
        )
    return found
