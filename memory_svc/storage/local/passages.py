"""Find a user's passages by words (FTS5) and by meaning (vectors), and queue for both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from memory_svc.model import Candidate, IndexCounts, Probe, SearchFilter, Unembedded, Vector
from memory_svc.storage.local.rows import join_message
from memory_svc.storage.local.vectors import Ids, VectorIndex
from svckit.sqlite import Database

MOST_ATTEMPTS = 3

# Every search applies this to the view `passage`, whichever way a passage came up.
_ALLOWED = """
  p.owner = :owner
  and (:project = '' or p.project = :project)
  and (:session_id = '' or p.session_id = :session_id)
  and (:conversation_id = '' or p.conversation_id = :conversation_id)
  and (:exclude = '' or p.conversation_id <> :exclude)
  and (:roles = '[]' or p.role in (select value from json_each(:roles)))
  and (:start_us is null or p.created_us >= :start_us)
  and (:end_us is null or p.created_us < :end_us)
  and (:tags = '[]' or exists (
    select 1 from json_each(p.tags) as has join json_each(:tags) as wanted
    where has.value = wanted.value))
"""

# The owner's own word in the index has weight 0: it selects, but does not score.
_BY_WORDS = f"""
select p.id, -bm25(message_fts, 0.0, 1.0) as score
from message_fts join passage as p on p.id = message_fts.rowid
where message_fts match :match and {_ALLOWED}
order by score desc, p.id limit :limit
"""  # noqa: S608  # constant text

_ALLOWED_IDS = f"select p.id from passage as p where {_ALLOWED}"  # noqa: S608  # constant text

_THESE = f"""
select p.* from passage as p
where p.id in (select value from json_each(:ids)) and {_ALLOWED}
"""  # noqa: S608  # constant text

# The cross joins keep SQLite from walking every row that has the word.
_MATCHED = """
select id.value as id, count(*) as matched
from json_each(:ids) as id cross join json_each(:expressions) as word
cross join message_fts on message_fts match word.value and message_fts.rowid = id.value
group by id.value
"""

_NO_FILTER = SearchFilter()


class Passages:
    """The searchable messages of a database, and the queue of those without a vector."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._vectors = VectorIndex(self._load_vectors)

    def close(self) -> None:
        """Let go of the indexes."""
        self._vectors.close()

    async def candidates(
        self, user_id: str, probe: Probe, where: SearchFilter, limit: int
    ) -> list[Candidate]:
        """Return the best `limit` by words and as many by meaning, each with both scores."""
        rows = await self._database.fetch("select key from owner where user_id = ?", (user_id,))
        if not rows:
            return []
        owner = int(rows[0]["key"])
        allowed = _parameters(owner, where)
        bm25 = await self._by_words(probe.words, allowed, limit)
        cosine = await self._by_meaning(owner, probe, where, bm25, limit)
        ids = sorted(bm25.keys() | cosine.keys())
        matched = await self._matched(probe.words, ids)
        found = await self._database.fetch(_THESE, {**allowed, "ids": json.dumps(ids)})
        return [
            Candidate(
                message_id=row["id"],
                conversation_id=row["conversation_id"],
                conversation_title=row["title"],
                role=row["role"],
                text=row["text"],
                created_us=row["created_us"],
                bm25=bm25.get(row["id"], 0.0),
                matched=matched.get(row["id"], 0),
                cosine=cosine.get(row["id"]),
            )
            for row in found
        ]

    async def _by_words(
        self, words: Sequence[str], allowed: dict[str, Any], limit: int
    ) -> dict[int, float]:
        if not words:
            return {}
        terms = " OR ".join(map(_quoted, words))
        match = f'owner : "u{allowed["owner"]}" AND text : ({terms})'
        rows = await self._database.fetch(_BY_WORDS, {**allowed, "match": match, "limit": limit})
        return {row["id"]: row["score"] for row in rows}

    async def _by_meaning(
        self, owner: int, probe: Probe, where: SearchFilter, also: Iterable[int], limit: int
    ) -> dict[int, float]:
        """Return cosines of the nearest, and of the passages `also` found by words."""
        if probe.vector is None:
            return {}
        among = None
        if where != _NO_FILTER:
            rows = await self._database.fetch(_ALLOWED_IDS, _parameters(owner, where))
            among = [row["id"] for row in rows]
        search = self._vectors.search
        nearest = await search(owner, probe.model, probe.vector, limit, among)
        others = [message_id for message_id in also if message_id not in nearest]
        return nearest | await search(owner, probe.model, probe.vector, len(others), others)

    async def _matched(self, words: Sequence[str], ids: Sequence[int]) -> dict[int, int]:
        expressions = [f"text : {_quoted(word)}" for word in words]
        rows = await self._database.fetch(
            _MATCHED, {"ids": json.dumps(ids), "expressions": json.dumps(expressions)}
        )
        return {row["id"]: row["matched"] for row in rows}

    async def _load_vectors(self, owner: int, model: str, dimensions: int) -> tuple[Ids, Vector]:
        rows = await self._database.fetch(
            "select v.message, v.vector from passage as p join vector as v on v.message = p.id"
            " where p.owner = ? and v.model = ? and length(v.vector) = ?",
            (owner, model, dimensions * np.dtype(np.float32).itemsize),
        )
        ids = np.array([row["message"] for row in rows], dtype=np.int64)
        blob = b"".join(row["vector"] for row in rows)
        return ids, np.frombuffer(blob, dtype=np.float32).reshape(len(rows), dimensions)

    async def await_vectors(self, model: str) -> None:
        """Queue every searchable message that has no vector of `model`."""
        async with self._database.transaction() as tx:
            await tx.execute(
                "update unembedded set attempts = 0, error = '' where attempts > 0 and model <> ?",
                (model,),
            )
            await tx.execute(
                "insert or ignore into unembedded (message) select p.id from passage as p"
                " left join vector as v on v.message = p.id and v.model = ?"
                " where v.message is null",
                (model,),
            )

    async def unembedded(self, limit: int) -> list[Unembedded]:
        """Return messages that wait for a vector; those that failed come last."""
        rows = await self._database.fetch(
            "select m.id, m.text, m.body, m.created_us"
            " from unembedded as u join message as m on m.id = u.message"
            " where u.attempts < ? order by u.attempts, u.message limit ?",
            (MOST_ATTEMPTS, limit),
        )
        waiting = []
        for row in rows:
            message = join_message(row["text"], row["body"])
            speaker = message.name or message.role
            waiting.append(Unembedded(row["id"], speaker, row["text"], row["created_us"]))
        return waiting

    async def put_vectors(self, model: str, vectors: Sequence[tuple[int, Vector]]) -> None:
        """Store vectors and take their messages off the queue, in one transaction."""
        stored: dict[int, list[tuple[int, Vector]]] = {}
        async with self._database.transaction() as tx:
            for message_id, vector in vectors:
                rows = await tx.execute_fetchall(
                    "select owner from passage where id = ?", (message_id,)
                )
                for row in rows:  # none if the message was deleted meanwhile
                    stored.setdefault(row["owner"], []).append((message_id, vector))
                    await tx.execute(
                        "insert or replace into vector values (?, ?, ?)",
                        (message_id, model, vector.astype(np.float32).tobytes()),
                    )
                await tx.execute("delete from unembedded where message = ?", (message_id,))
        for owner, of_owner in stored.items():
            ids = [message_id for message_id, _ in of_owner]
            await self._vectors.add(owner, model, ids, np.stack([v for _, v in of_owner]))

    async def embedding_failed(self, model: str, message_id: int, error: str) -> None:
        """Count a failed attempt and keep its error."""
        async with self._database.transaction() as tx:
            await tx.execute(
                "update unembedded set attempts = attempts + 1, model = ?, error = ?"
                " where message = ?",
                (model, error, message_id),
            )

    async def index_counts(self, model: str) -> IndexCounts:
        """Count vectors of `model` and messages that wait for one."""
        rows = await self._database.fetch(
            "select (select count(*) from vector where model = ?) as indexed,"
            " (select count(*) from unembedded where attempts < ?) as pending",
            (model, MOST_ATTEMPTS),
        )
        return IndexCounts(rows[0]["indexed"], rows[0]["pending"])

    async def forget(self, owner: int, message_ids: Sequence[int]) -> None:
        """Drop the vectors of messages whose rows are gone."""
        await self._vectors.remove(owner, message_ids)


def _parameters(owner: int, where: SearchFilter) -> dict[str, Any]:
    return {
        "owner": owner,
        "project": where.project,
        "session_id": where.session_id,
        "conversation_id": where.conversation_id,
        "exclude": where.exclude_conversation_id,
        "roles": json.dumps(where.roles),
        "start_us": where.start_us,
        "end_us": where.end_us,
        "tags": json.dumps(where.tags),
    }


def _quoted(word: str) -> str:
    """Make `word` a plain term of FTS5, whatever is in it."""
    return '"' + word.replace('"', '""').replace("\x00", " ") + '"'  # NUL ends an expression
