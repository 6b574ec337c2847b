"""Recall: what of a user's past bears on a prompt, found, packed and noted.

What is asked is `questions.py`'s to tell, what is found `search.py`'s, and how it reads
`packing.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memory_svc.model import Message, Recall, SearchFilter
from memory_svc.packing import pack
from memory_svc.questions import question_of
from memory_svc.recall_log import RecallLog
from memory_svc.search import Search
from memory_svc.tree import text_of
from svckit.errors import ServiceError
from svckit.recalled import without_recalled
from svckit.times import now_us

# More than go into a prompt, so that `Explain` tells what they were chosen from.
_LEAST_CANDIDATES = 20
_CANDIDATES_FOR_EACH = 3


@dataclass(frozen=True, slots=True)
class Prompt:
    """A user's prompt that something may be recalled for.

    `where.exclude_conversation_id` is its own conversation. A `token_budget` of 0 is the
    configured one. Nothing of it is kept where it has no `request_id`.
    """

    user_id: str
    messages: Sequence[Message]
    where: SearchFilter
    token_budget: int = 0
    request_id: str = ""


class Recalls:
    """Recalls at most `passages` passages in `tokens` tokens, unless a prompt says otherwise."""

    def __init__(self, search: Search, log: RecallLog, *, passages: int, tokens: int) -> None:
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
        question, where = question_of(prompt.messages), prompt.where
        named = (prompt.user_id, prompt.request_id, where.exclude_conversation_id, now_us())
        if not question:
            return Recall(*named, question)
        count = max(_LEAST_CANDIDATES, _CANDIDATES_FOR_EACH * self._passages)
        found = await self._search.find(prompt.user_id, question, where, count)
        quotes = pack(
            found.passages,
            question,
            prompt=[without_recalled(text_of(message)) for message in prompt.messages],
            limit=self._passages,
            budget_tokens=prompt.token_budget or self._tokens,
        )
        return Recall(*named, question, found.passages, tuple(quotes), found.degraded)
