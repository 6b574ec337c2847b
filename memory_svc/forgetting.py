"""Forget what a person asks to be forgotten: by number, by name, or by what it is about."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from memory_svc.kept import Forgotten, OneConversation, Target, TheseMessages
from memory_svc.model import Passage, Probe, SearchFilter, passage_of
from memory_svc.recall_log import RecallLog
from memory_svc.storage.base import MemoryStore
from memory_svc.words import content_words
from svckit.errors import ServiceError, invalid_field
from svckit.times import now_us

MOST_OF_A_TOPIC = 100
# They ask to forget, and name nothing that was said.
_ASKING = frozenset({"all", "anything", "everything", "forget", "stuff"})


@dataclass(frozen=True, slots=True)
class Topic:
    """What some words are about, to forget."""

    words: str


class Forgetting:
    """The use case over one store."""

    def __init__(self, store: MemoryStore, log: RecallLog) -> None:
        self._store = store
        self._log = log

    async def forget(
        self, user_id: str, target: Target | Topic, *, preview: bool = False
    ) -> Forgotten:
        """Forget it, or only tell how much that would be."""
        # What is still to be written down must not come after the deletion.
        await self._log.write()
        if isinstance(target, Topic):
            passages = await self._about(user_id, target.words)
            these = TheseMessages(tuple(each.message_id for each in passages))
            forgotten = await self._store.forget(user_id, these, now_us(), preview=preview)
            return replace(forgotten or Forgotten(), passages=passages)
        forgotten = await self._store.forget(user_id, target, now_us(), preview=preview)
        if forgotten is None:
            assert isinstance(target, OneConversation), "all else may be nothing"
            raise ServiceError(
                "CONVERSATION_NOT_FOUND",
                f"this user has no conversation {target.id!r}",
                conversation_id=target.id,
            )
        return forgotten

    async def _about(self, user_id: str, topic: str) -> tuple[Passage, ...]:
        """Return the passages that have every word of a topic, the densest first.

        Search may guess, for it only shows. What deletes must not: meanings that are near
        and most of the words are not enough.
        """
        words = tuple(word for word in content_words(topic) if word not in _ASKING)
        if not words:
            raise invalid_field("topic", f"topic is {topic!r}, which names nothing to forget")
        where = SearchFilter()
        evidence = await self._store.evidence(user_id, Probe(words=words), where, MOST_OF_A_TOPIC)
        is_about = evidence.matched == len(words)
        order = np.lexsort((-evidence.message_ids, -evidence.turn))
        ids = evidence.message_ids[order[is_about[order]]][:MOST_OF_A_TOPIC].tolist()
        said = {each.message_id: each for each in await self._store.said(user_id, ids, where)}
        return tuple(
            passage_of(said[each], score=1.0, lexical_score=1.0) for each in ids if each in said
        )
