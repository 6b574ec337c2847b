"""Find stored turns again, and the path that ends in one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from memory_svc.model import Message, StoredMessage, StoredTurn, TreePath, TurnFilter
from memory_svc.storage.local.compressing import plain_bytes, plain_message
from memory_svc.storage.local.request_ids import packed_id, plain_id
from memory_svc.storage.local.rows import (
    join_message,
    to_path_node,
    to_stored_message,
    to_usage,
)
from svckit.sqlite import Database

# Where clients send their whole history again, so does each turn: a page of them ends
# early, before it holds everybody else up. Its first turn is there in any case.
_PAGE_BYTES = 4 * 1024 * 1024

_TURN = """
select t.*, o.user_id, c.id as conversation_id, t.instructions is c.instructions as current
from turn as t join conversation as c on c.key = t.conversation join owner as o on o.key = t.owner
where t.owner in (select key from owner where :user_id is null or user_id = :user_id)
"""

_LISTED = """
and (:endpoint = '' or t.endpoint = :endpoint)
and (:model = '' or t.model = :model)
and (not :recorded_only or t.record is not null)
and not exists (
  select 1 from json_each(:metadata) as wanted where not exists (
    select 1 from json_each(t.metadata) as has
    where has.key = wanted.key and has.value = wanted.value))
"""

_OLDEST_FIRST = """
and (:key is null or (t.created_us, t.key) > (:created_us, :key))
order by t.created_us, t.key limit :limit
"""

_NEWEST_FIRST = """
and (:key is null or (t.created_us, t.key) < (:created_us, :key))
order by t.created_us desc, t.key desc limit :limit
"""

# What the turn sent, counted back from its end, and its answer behind it.
_CONTENT = """
with recursive active (id, parent) as (
  select m.id, m.parent from turn as t join conversation as c on c.key = t.conversation
  join message as m on m.id = c.head where t.key = :turn
  union all
  select m.id, m.parent from active join message as m on m.id = active.parent
),
sent (id, parent, more) as (
  select m.id, m.parent, t.input_count from turn as t join message as m on m.id = t.input_end
  where t.key = :turn and t.input_count > 0
  union all
  select m.id, m.parent, sent.more - 1 from sent join message as m on m.id = sent.parent
  where sent.more > 1
)
select m.*, m.id in (select id from active) as active, m.id = t.answer as answers
from turn as t join message as m on m.id in (select id from sent union all select t.answer)
where t.key = :turn order by m.position
"""

_PATH = """
with recursive path (id, parent) as (
  select m.id, m.parent from turn as t join message as m on m.id = iif(t.answer, t.answer,
    t.input_end) where t.key = :turn
  union all
  select m.id, m.parent from path join message as m on m.id = path.parent
)
"""

_PATH_NODES = f"""
{_PATH} select m.hash, m.text, m.body, m.finish_reason from path join message as m on m.id = path.id
order by m.position
"""  # noqa: S608  # constant text

# The latest that were sent on this path: other branches may have others. The cross join
# keeps SQLite from walking all turns for each message of the path.
_PATH_INSTRUCTIONS = f"""
{_PATH} select i.body from instruction as i
where i.conversation = :conversation and i.hash = (
  select t.instructions from turn as t
  cross join message as m on m.id = iif(t.answer, t.answer, t.input_end)
  where t.conversation = :conversation and t.instructions is not null
    and m.id in (select id from path)
  order by m.position desc, t.key = :turn desc, t.key desc limit 1)
order by i.position
"""  # noqa: S608  # constant text


class StoredTurns:
    """The turns of a database that can be found again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def turn(self, user_id: str | None, request_id: str) -> StoredTurn | None:
        """Return one turn with its content, anybody's if `user_id` is None; None if none."""
        row = await self._row(user_id, request_id)
        return await self._with_content(row) if row else None

    async def turns(
        self, where: TurnFilter, after: tuple[int, int] | None, limit: int
    ) -> tuple[list[StoredTurn], bool]:
        """List turns from behind `after`, and tell whether there are more."""
        created_us, key = after or (None, None)
        rows = await self._database.fetch(
            _TURN + _LISTED + (_NEWEST_FIRST if where.newest_first else _OLDEST_FIRST),
            {
                "user_id": where.user_id,
                "endpoint": where.endpoint,
                "model": where.model,
                "recorded_only": where.recorded_only,
                "metadata": json.dumps(where.metadata),
                "created_us": created_us,
                "key": key,
                "limit": limit + 1,
            },
        )
        listed: list[StoredTurn] = []
        room = _PAGE_BYTES
        for row in rows[:limit]:
            turn = await self._with_content(row)
            room -= _bytes(turn)
            if room < 0 and listed:
                break
            listed.append(turn)
        return listed, len(listed) < len(rows)

    async def path_after(
        self, user_id: str, conversation_id: str, request_id: str
    ) -> TreePath | None:
        """Return the path that ends in a turn's answer; None if there is no such turn."""
        row = await self._row(user_id, request_id)
        if row is None or row["conversation_id"] != conversation_id:
            return None
        place = {"turn": row["key"], "conversation": row["conversation"]}
        system = await self._database.fetch(_PATH_INSTRUCTIONS, place)
        nodes = list(map(to_path_node, await self._database.fetch(_PATH_NODES, place)))
        if nodes and row["reply"] is not None:
            nodes[-1] = replace(nodes[-1], message=plain_message(row["reply"]))
        return TreePath(tuple(Message.FromString(each["body"]) for each in system), tuple(nodes))

    async def _row(self, user_id: str | None, request_id: str) -> sqlite3.Row | None:
        rows = await self._database.fetch(
            _TURN + "and t.request_id = :request_id",
            {"user_id": user_id, "request_id": packed_id(request_id)},
        )
        return rows[0] if rows else None

    async def _with_content(self, row: sqlite3.Row) -> StoredTurn:
        said = await self._database.fetch(_CONTENT, {"turn": row["key"]})
        instructions = await self._instructions(row)
        sent = [to_stored_message(each) for each in said if not each["answers"]]
        answers = [to_stored_message(each) for each in said if each["answers"]]
        others = await self._database.fetch(
            "select body from other_reply where turn = ? order by position", (row["key"],)
        )
        return StoredTurn(
            key=row["key"],
            user_id=row["user_id"],
            request_id=plain_id(row["request_id"]),
            conversation_id=row["conversation_id"],
            endpoint=row["endpoint"],
            created_us=row["created_us"],
            input=(*instructions, *sent),
            reply=_reply(row, answers[0]) if answers else None,
            other_replies=tuple(plain_message(each["body"]) for each in others),
            record=plain_bytes(row["record"] or b""),
        )

    async def _instructions(self, turn: sqlite3.Row) -> Sequence[StoredMessage]:
        rows = await self._database.fetch(
            "select id, position, body from instruction"
            " where conversation = ? and hash = ? order by position",
            (turn["conversation"], turn["instructions"]),
        )
        return [
            StoredMessage(
                id=row["id"],
                parent_id=0,
                position=row["position"],
                message=join_message(None, row["body"]),
                created_us=turn["created_us"],
                model="",
                backend="",
                usage=None,
                request_id=plain_id(turn["request_id"]),
                active=bool(turn["current"]),
            )
            for row in rows
        ]


def _reply(turn: sqlite3.Row, answer: StoredMessage) -> StoredMessage:
    """Return the answer as this turn had it; another may have had the same before."""
    wording = turn["reply"]
    return replace(
        answer,
        message=answer.message if wording is None else plain_message(wording),
        model=turn["model"],
        backend=turn["backend"],
        usage=to_usage(turn["usage"]),
        request_id=plain_id(turn["request_id"]),
        finish_reason=turn["finish_reason"],
    )


def _bytes(turn: StoredTurn) -> int:
    messages = [stored.message for stored in turn.input] + list(turn.other_replies)
    if turn.reply:
        messages.append(turn.reply.message)
    return len(turn.record) + sum(message.ByteSize() for message in messages)
