"""What memory_svc asks of its storage, in domain verbs.

One contract suite (tests/memory/test_store_*.py) holds for every implementation. Each
verb sees only what belongs to the user it names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from memory_svc.kept import Forgotten, NewNote, Note, NoteFilter, Target
from memory_svc.model import (
    Conversation,
    ConversationChange,
    ConversationFilter,
    Fate,
    IndexCounts,
    NewConversation,
    Passage,
    Probe,
    Recall,
    Said,
    SearchFilter,
    Stats,
    StoredMessage,
    StoredTurn,
    TreePath,
    Turn,
    TurnFilter,
    Unembedded,
    Vector,
)
from memory_svc.retrieval.evidence import Evidence


class MemoryStore(Protocol):
    """Conversations, and the means to find passages in them."""

    async def create(self, new: NewConversation, at_us: int) -> Conversation | None:
        """Begin a conversation; None if the user has one of that id."""
        ...

    async def append(self, turns: Sequence[Turn]) -> list[Fate]:
        """Store all turns or, on an error, none; return what became of each."""
        ...

    async def conversation(self, user_id: str | None, conversation_id: str) -> Conversation | None:
        """Return one conversation; of all users' the latest changed if `user_id` is None."""
        ...

    async def conversations(
        self, where: ConversationFilter, after: tuple[int, int] | None, limit: int
    ) -> list[Conversation]:
        """List the latest changed first, from behind `after` = (updated_us, key)."""
        ...

    async def count_conversations(self, where: ConversationFilter) -> int:
        """Count what `conversations` lists on all pages."""
        ...

    async def active_path(self, user_id: str, conversation_id: str) -> TreePath | None:
        """Return what the next message continues; None if there is no such conversation."""
        ...

    async def path_after(
        self, user_id: str, conversation_id: str, request_id: str
    ) -> TreePath | None:
        """Return the path that ends in a turn's answer; None if there is no such turn.

        Its system messages are the latest that were sent on it.
        """
        ...

    async def messages(
        self, conversation: int, after: int, limit: int, *, include_inactive: bool
    ) -> list[StoredMessage]:
        """List messages of the conversation of this key, oldest first.

        `after` is the last page's last `position`, or its last `id` where
        inactive ones are included; -1 for the first page.
        """
        ...

    async def update(
        self, user_id: str, conversation_id: str, change: ConversationChange, at_us: int
    ) -> Conversation | None:
        """Change a conversation and return it; None if there is none."""
        ...

    async def delete(self, user_id: str, conversation_id: str, at_us: int) -> int | None:
        """Delete a conversation and all derived from it; return how many messages it had.

        None if there is none. Either way a turn asked until `at_us` is not stored for
        at least seven days, whenever it comes.
        """
        ...

    async def delete_message(self, conversation: int, message_id: int, at_us: int) -> bool:
        """Delete a message of the conversation of this key; tell whether it was there.

        What followed it follows what it followed, with the hashes of that place; of two
        messages that become the same one stays.
        """
        ...

    async def turn(self, user_id: str | None, request_id: str) -> StoredTurn | None:
        """Return one turn with its content, anybody's if `user_id` is None; None if none."""
        ...

    async def turns(
        self, where: TurnFilter, after: tuple[int, int] | None, limit: int
    ) -> tuple[list[StoredTurn], bool]:
        """List turns by when they came in, and tell whether there are more.

        From behind `after` = (created_us, key); fewer than `limit` where they are large.
        """
        ...

    async def update_turn(self, user_id: str, request_id: str, record: bytes) -> bool:
        """Put another record in a turn; tell whether there is one."""
        ...

    async def delete_turn(self, user_id: str, request_id: str, at_us: int) -> int | None:
        """Delete a turn and what only it has; return how many messages are gone.

        None if there is none. Either way it is not stored when it comes again.
        """
        ...

    async def stats(self, user_id: str | None) -> Stats:
        """Count what is kept of a user; of all if None."""
        ...

    async def speakers(self, user_id: str) -> tuple[str, ...]:
        """Return the names that speak in the user's memory, beside those who have none."""
        ...

    async def evidence(
        self, user_id: str, probe: Probe, where: SearchFilter, limit: int
    ) -> Evidence:
        """Return what speaks for the candidates among which the best `limit` passages are."""
        ...

    async def said(
        self, user_id: str, message_ids: Sequence[int], where: SearchFilter
    ) -> list[Said]:
        """Return those of the messages that the user may find, in any order."""
        ...

    async def following(self, user_id: str, message_ids: Sequence[int]) -> dict[int, int]:
        """Return which searchable message follows each on the path that goes on, if any does."""
        ...

    async def remember(self, user_id: str, conversation_id: str, new: NewNote, at_us: int) -> Note:
        """Keep a note in the conversation, begun if it does not exist; return it.

        The same text for the same project is kept once; it stays pinned if it was.
        """
        ...

    async def notes(
        self, user_id: str, where: NoteFilter, after: tuple[int, int] | None, limit: int
    ) -> list[Note]:
        """List notes and pinned messages, the latest first.

        From behind `after` = (created_us, message_id).
        """
        ...

    async def pinned(self, user_id: str, project: str, limit: int) -> list[Passage]:
        """Return what is in every recall of the project, the latest first."""
        ...

    async def pin(self, user_id: str, message_id: int, project: str | None) -> Note | None:
        """Pin a message for a project, '' for all, or unpin it (None); None if there is none."""
        ...

    async def correct(self, user_id: str, message_id: int, text: str) -> Note | None:
        """Let a text stand for what a message says, '' for what was said; None if none.

        Whatever finds or recalls the message goes by that text, its conversation does not.
        """
        ...

    async def forget(
        self, user_id: str, target: Target, at_us: int, *, preview: bool = False
    ) -> Forgotten | None:
        """Forget what a user names; None if there is no such conversation.

        A project and a user stay forgotten like a conversation that `delete` deletes, and a
        message when a client of its chat sends it again as what was said before. A
        preview changes nothing and counts the same.
        """
        ...

    async def keep_recalls(self, recalls: Sequence[Recall]) -> None:
        """Keep what was recalled for requests, and drop what has been kept long enough.

        A message that is deleted takes its quotes with it, and a conversation or a turn
        what was recalled for it, though it may not be stored.
        """
        ...

    async def recall(self, user_id: str, request_id: str) -> Recall | None:
        """Return what was recalled for a request, as far as it still exists; None if unknown."""
        ...

    async def await_vectors(self, model: str) -> None:
        """Queue every vector of `model` that searchable messages do not have."""
        ...

    async def unembedded(self, limit: int) -> list[Unembedded]:
        """Return what waits for a vector and is not given up, oldest messages first."""
        ...

    async def put_vectors(self, model: str, made: Sequence[tuple[Unembedded, Vector]]) -> None:
        """Store normalised vectors of what waited for them.

        What was deleted, or has other neighbours by now, is dropped.
        """
        ...

    async def embedding_failed(self, model: str, waiting: Unembedded, error: str) -> None:
        """Count a failed attempt; the third one gives the vector up for `model`."""
        ...

    async def index_counts(self, model: str) -> IndexCounts:
        """Count the messages with a vector of `model`, and those that wait for any."""
        ...

    async def tidy(self) -> None:
        """Clear away what deletions left in the files, in short steps between other writes."""
        ...
