"""Recall: what is pinned, and what of a user's past bears on a prompt, packed and noted.

What is asked is `questions.py`'s to tell, what is found `search.py`'s, and how it reads
`packing.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from memory_svc.answers import with_answers
from memory_svc.model import Found, Message, Passage, Recall, SearchFilter
from memory_svc.packing import news, pack, pack_notes
from memory_svc.periods import of_its_time
from memory_svc.questions import question_of
from memory_svc.recall_log import RecallLog
from memory_svc.search import Search
from memory_svc.storage.base import MemoryStore
from memory_svc.tree import text_of
from svckit.errors import ServiceError
from svckit.recalled import without_recalled
from svckit.times import now_us

# More than go into a prompt, so that `Explain` tells what they were chosen from.
_LEAST_CANDIDATES = 20
_CANDIDATES_FOR_EACH = 3
# Far more than fit into any prompt.
_MOST_PINNED = 500
_NOTHING = Found((), "")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A user's prompt that something may be recalled for.

    `where.exclude_conversation_id` is its own conversation, and `project` its own project. A
    `token_budget` of 0 is the configured one. Nothing of it is kept where it has no `request_id`.
    """

    user_id: str
    messages: Sequence[Message]
    where: SearchFilter
    project: str = ""
    token_budget: int = 0
    request_id: str = ""


class Recalls:
    """Recalls at most `passages` passages in `tokens` tokens, unless a prompt says otherwise."""

    def __init__(
        self, store: MemoryStore, search: Search, log: RecallLog, *, passages: int, tokens: int
    ) -> None:
        self._store = store
        self._search = search
        self._log = log
        self._passages = passages
        self._tokens = tokens

    async def recall(self, prompt: Prompt) -> Recall:
        """Return what bears on the prompt, and note it for who asks why."""
        recall = await self._recall(prompt)
        if prompt.request_id:
            self._log.note(recall)
        return recall

    async def explain(self, user_id: str, request_id: str) -> Recall:
        """Return the recall for a request. Raises TURN_NOT_FOUND."""
        recall = await self._log.find(user_id, request_id)
        if recall is None:
            raise ServiceError(
                "TURN_NOT_FOUND",
                f"nothing is known of a recall for this user's request {request_id!r}",
                request_id=request_id,
            )
        return recall

    async def _recall(self, prompt: Prompt) -> Recall:
        question, own = question_of(prompt.messages), prompt.where.exclude_conversation_id
        texts = [without_recalled(text_of(message)) for message in prompt.messages]
        budget = prompt.token_budget or self._tokens
        pinned = await self._pinned(prompt, texts)
        found = await self._found(prompt, question, pinned) if question else _NOTHING
        notes = pack_notes(pinned, budget_tokens=budget)
        chosen = await self._chosen(prompt, question, found, texts)
        quotes = pack(
            chosen,
            question,
            prompt=texts,
            limit=len(chosen),
            budget_tokens=budget,
            notes=notes,
        )
        return Recall(
            *(prompt.user_id, prompt.request_id, own, now_us(), question),
            candidates=(*pinned, *_with(found.passages, chosen)),
            quotes=(*notes, *quotes),
            degraded=_degraded(len(pinned) - len(notes), found.degraded),
            project=prompt.project,
        )

    async def _pinned(self, prompt: Prompt, texts: Sequence[str]) -> list[Passage]:
        """Return what is pinned, the latest first, but for what its own chat says already."""
        own = prompt.where.exclude_conversation_id
        pinned = await self._store.pinned(prompt.user_id, prompt.project, _MOST_PINNED)
        of_own = news((each for each in pinned if each.conversation_id == own), texts)
        unsaid = {each.message_id for each in of_own}
        return [
            each
            for each in pinned
            if each.text.strip() and (each.conversation_id != own or each.message_id in unsaid)
        ]

    async def _found(self, prompt: Prompt, question: str, pinned: Sequence[Passage]) -> Found:
        """Search for what is not pinned here."""
        count = max(_LEAST_CANDIDATES, _CANDIDATES_FOR_EACH * self._passages)
        found = await self._search.find(prompt.user_id, question, prompt.where, count, unasked=True)
        known = {each.message_id for each in pinned}
        # What is pinned for another project is a passage like any other.
        others = (
            replace(each, pinned=False) if each.pinned else each
            for each in found.passages
            if each.message_id not in known
        )
        return Found(tuple(others), found.degraded)

    async def _chosen(
        self, prompt: Prompt, question: str, found: Found, texts: Sequence[str]
    ) -> list[Passage]:
        """Return the best that is of its time and new to the prompt, questions with answers."""
        of_then = of_its_time(found.passages, question, now_us())
        best = news(of_then, texts)[: self._passages]
        return await with_answers(self._store, prompt.user_id, best, prompt.where)


def _with(found: Sequence[Passage], chosen: Sequence[Passage]) -> list[Passage]:
    """Return what was found, and what was chosen beside it."""
    known = {each.message_id for each in found}
    return [*found, *(each for each in chosen if each.message_id not in known)]


def _degraded(notes_left_out: int, search: str) -> str:
    notes = f"notes: {notes_left_out} of the oldest do not fit" if notes_left_out else ""
    return "; ".join(filter(None, (notes, search)))
