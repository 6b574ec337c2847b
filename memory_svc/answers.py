"""What answers the questions among passages: a question tells little by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from memory_svc.model import Passage, SearchFilter, passage_of
from memory_svc.retrieval.traits import ASKS, traits_of
from memory_svc.storage.base import MemoryStore


async def with_answers(
    store: MemoryStore, user_id: str, passages: Sequence[Passage], where: SearchFilter
) -> list[Passage]:
    """Return the passages, and behind each that asks what followed it, where that is not there."""
    asking = [each.message_id for each in passages if traits_of(each.text).marks & ASKS]
    after = await store.following(user_id, asking) if asking else {}
    missing = set(after.values()) - {each.message_id for each in passages}
    said = await store.said(user_id, sorted(missing), where) if missing else []
    answers = {each.message_id: each for each in said}
    found = []
    for passage in passages:
        found.append(passage)
        if answer := answers.get(after.get(passage.message_id, 0)):
            # As good as its question, and compared with nothing; pinned ones have their place.
            found.append(replace(passage_of(answer, score=passage.score), pinned=False))
    return found
