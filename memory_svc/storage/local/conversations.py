"""Conversations' rows: found, listed, counted."""

from __future__ import annotations

import json
from typing import Any

from memory_svc.model import Conversation, ConversationFilter, Stats
from memory_svc.storage.local.rows import to_conversation
from svckit.sqlite import Database

# The active path has as many messages as its leaf's place says.
_CONVERSATION = """
select c.*, o.user_id, coalesce(leaf.position + 1, 0) as message_count
from conversation as c join owner as o on o.key = c.owner
left join message as leaf on leaf.id = c.head
"""

_LISTED = """
where (:user_id is null or o.user_id = :user_id)
  and (:project = '' or c.project = :project)
  and (:session_id = '' or c.session_id = :session_id)
  and (:start_us is null or c.updated_us >= :start_us)
  and (:end_us is null or c.updated_us < :end_us)
  and (:tags = '[]' or exists (
    select 1 from json_each(c.tags) as has join json_each(:tags) as wanted
    where has.value = wanted.value))
  and (:title_query = '' or instr(casefold(c.title), :title_query))
"""

_COUNT = f"""
select count(*) from conversation as c join owner as o on o.key = c.owner {_LISTED}
"""  # noqa: S608  # constant text

_STATS = """
with whose as (
  select c.* from conversation as c join owner as o on o.key = c.owner
  where :user_id is null or o.user_id = :user_id
),
said as (
  select m.role, text_size(m.text) as bytes
  from whose join message as m on m.conversation = whose.key
)
select count(*) as conversations, count(distinct owner) as users,
  coalesce(sum(token_count), 0) as tokens,
  min(created_us) as first_us, max(updated_us) as last_us,
  (select count(*) from said) as messages,
  (select count(*) from said where role = 'user') as user_messages,
  (select count(*) from said where role = 'assistant') as assistant_messages,
  (select coalesce(sum(bytes), 0) from said) as text_bytes
from whose
"""


class StoredConversations:
    """The conversations of a database, without their messages."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def conversation(self, user_id: str | None, conversation_id: str) -> Conversation | None:
        """Return one conversation; of all users' the latest changed if `user_id` is None."""
        rows = await self._database.fetch(
            _CONVERSATION + "where (:user_id is null or o.user_id = :user_id) and c.id = :id"
            " order by c.updated_us desc, c.key desc limit 1",
            {"user_id": user_id, "id": conversation_id},
        )
        return to_conversation(rows[0]) if rows else None

    async def conversations(
        self, where: ConversationFilter, after: tuple[int, int] | None, limit: int
    ) -> list[Conversation]:
        """List the latest changed first, from behind `after`."""
        updated_us, key = after or (None, None)
        rows = await self._database.fetch(
            _CONVERSATION + _LISTED + " and (:key is null or"
            " (c.updated_us, c.key) < (:updated_us, :key))"
            " order by c.updated_us desc, c.key desc limit :limit",
            {**_listed(where), "updated_us": updated_us, "key": key, "limit": limit},
        )
        return [to_conversation(row) for row in rows]

    async def count(self, where: ConversationFilter) -> int:
        """Count what `conversations` lists on all pages."""
        rows = await self._database.fetch(_COUNT, _listed(where))
        return int(rows[0][0])

    async def stats(self, user_id: str | None) -> Stats:
        """Count what is kept of a user; of all if None."""
        rows = await self._database.fetch(_STATS, {"user_id": user_id})
        return Stats(**{name: rows[0][name] for name in rows[0].keys()})  # noqa: SIM118  # a row, not a dict


def _listed(where: ConversationFilter) -> dict[str, Any]:
    return {
        "user_id": where.user_id,
        "project": where.project,
        "session_id": where.session_id,
        "start_us": where.start_us,
        "end_us": where.end_us,
        "tags": json.dumps(where.tags),
        "title_query": where.title_query.casefold(),
    }
