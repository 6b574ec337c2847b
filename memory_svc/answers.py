"""What answers the questions among passages: a question tells little by itself."""

from __future__ import annotations

from collections.abc import Sequence

from memory_svc.model import Passage, Said, SearchFilter
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
            found.append(_answer(answer, passage.score))
    return found


def _answer(said: Said, score: float) -> Passage:
    """Make a passage of an answer, as good as its question and compared with nothing."""
    return Passage(
        message_id=said.message_id,
        conversation_id=said.conversation_id,
        conversation_title=said.conversation_title,
        role=said.role,
        text=said.text,
        created_us=said.created_us,
        score=score,
        lexical_score=None,
        dense_score=None,
        corrected=said.corrected,
    )
