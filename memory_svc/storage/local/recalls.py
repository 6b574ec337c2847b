"""Recalls in the database: kept for a while, found by request, forgotten with what they quote.

The migration's triggers delete what a conversation, a turn or a message takes with it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

import aiosqlite

from memory_svc.model import Passage, Quote, Recall
from memory_svc.storage.local.compressing import packed_text, plain_text
from memory_svc.storage.local.request_ids import packed_id
from memory_svc.storage.local.rows import first_row
from memory_svc.storage.local.tombstones import is_buried, is_turn_buried
from memory_svc.storage.local.turns import owner_key
from svckit.sqlite import Database
from svckit.times import now_us

KEPT_US = 30 * 86_400 * 1_000_000
MOST_OF_A_USER = 1000

_CANDIDATES = """
select r.*, m.role, coalesce(k.text, plain(m.text)) as text, m.created_us,
  c.id as conversation_id, c.title, k.text is not null as corrected
from recall_candidate as r
join message as m on m.id = r.message
join conversation as c on c.key = m.conversation
left join correction as k on k.message = m.id
where r.recall = ? order by r.position
"""


# One statement for all: a step for each would give way to every other thread of Python in
# between. A message that was deleted since has no candidate, and so no quote.
_FOUND = """
insert into recall_candidate
  (recall, position, message, score, lexical_score, dense_score, quote, pinned)
select :recall, it.key, m.id, it.value ->> 1, it.value ->> 2, it.value ->> 3, '', it.value ->> 4
from json_each(:found) as it cross join message as m on m.id = it.value ->> 0
"""


async def keep_recalls(tx: aiosqlite.Connection, recalls: Sequence[Recall]) -> None:
    """Keep recalls; drop what is older than `KEPT_US`, or more than `MOST_OF_A_USER`."""
    owners: dict[str, int] = {}
    for recall in recalls:
        if not await _is_deleted(tx, recall):
            if recall.user_id not in owners:
                owners[recall.user_id] = await owner_key(tx, recall.user_id)
            await _keep(tx, owners[recall.user_id], recall)
    await tx.execute("delete from recall where at_us < ?", (now_us() - KEPT_US,))
    for owner in owners.values():
        await tx.execute(
            "delete from recall where key in (select key from recall where owner = ?"
            " order by key desc limit -1 offset ?)",
            (owner, MOST_OF_A_USER),
        )


async def forget_recalls(
    tx: aiosqlite.Connection, user_id: str, *, conversation_id: str = "", request_id: str = ""
) -> None:
    """Delete the recalls for a conversation or a request that may not have been stored."""
    await tx.execute(
        "delete from recall where owner = (select key from owner where user_id = ?)"
        " and (conversation_id = nullif(?, '') or request_id = nullif(?, ''))",
        (user_id, conversation_id, packed_id(request_id)),
    )


async def find_recall(database: Database, user_id: str, request_id: str) -> Recall | None:
    """Return a recall with those of its candidates that are still there; None if none is kept."""
    async with database.reader() as connection:
        row = await first_row(
            connection,
            "select r.* from recall as r join owner as o on o.key = r.owner"
            " where o.user_id = ? and r.request_id = ?",
            (user_id, packed_id(request_id)),
        )
        if row is None:
            return None
        found = list(await connection.execute_fetchall(_CANDIDATES, (row["key"],)))
    candidates = [_passage(each) for each in found]
    return Recall(
        user_id=user_id,
        request_id=request_id,
        conversation_id=row["conversation_id"],
        at_us=row["at_us"],
        query=row["query"],
        candidates=tuple(candidates),
        quotes=tuple(
            Quote(passage, plain_text(each["quote"]) or "")
            for passage, each in zip(candidates, found, strict=True)
            if each["quote"]
        ),
        degraded=row["degraded"],
        project=row["project"],
    )


async def _is_deleted(tx: aiosqlite.Connection, recall: Recall) -> bool:
    """Tell whether the request or its conversation was deleted since."""
    user = recall.user_id
    return await is_turn_buried(tx, user, recall.request_id) or await is_buried(
        tx, user, recall.conversation_id, recall.project, recall.at_us
    )


async def _keep(tx: aiosqlite.Connection, owner: int, recall: Recall) -> None:
    await tx.execute(
        "delete from recall where owner = ? and request_id = ?",
        (owner, packed_id(recall.request_id)),
    )
    cursor = await tx.execute(
        "insert into recall (owner, request_id, conversation_id, at_us, query, degraded, project)"
        " values (?, ?, ?, ?, ?, ?, ?)",
        (
            *(owner, packed_id(recall.request_id), recall.conversation_id, recall.at_us),
            *(recall.query, recall.degraded, recall.project),
        ),
    )
    candidates = [
        (it.message_id, it.score, it.lexical_score, it.dense_score, it.pinned)
        for it in recall.candidates
    ]
    await tx.execute(_FOUND, {"recall": cursor.lastrowid, "found": json.dumps(candidates)})
    await tx.executemany(
        "update recall_candidate set quote = ? where recall = ? and message = ?",
        [
            (packed_text(quote.text), cursor.lastrowid, quote.passage.message_id)
            for quote in recall.quotes
        ],
    )


def _passage(row: sqlite3.Row) -> Passage:
    return Passage(
        message_id=row["message"],
        conversation_id=row["conversation_id"],
        conversation_title=row["title"],
        role=row["role"],
        text=row["text"],
        created_us=row["created_us"],
        score=row["score"],
        lexical_score=row["lexical_score"],
        dense_score=row["dense_score"],
        pinned=bool(row["pinned"]),
        corrected=bool(row["corrected"]),
    )
