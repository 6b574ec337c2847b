"""Requests in one SQLite file (schema: `sql/`).

SQL groups and counts, so a report's cost in Python follows what it shows, not how
many requests there are.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiosqlite

from metrics_svc.model import (
    Attempt,
    BucketUse,
    Distinct,
    Page,
    Position,
    RequestRow,
    Scope,
    Timings,
    Use,
)
from metrics_svc.storage.dims import MAX_LABELS, ids_of, values_of
from metrics_svc.storage.retries import SUPERSEDE
from metrics_svc.storage.rows import (
    LABELS,
    attempt_parameters,
    labels_of,
    read_attempt,
    read_group,
    read_request,
    request_parameters,
)
from metrics_svc.storage.timings import read_timings
from svckit.sqlite import Database, open_database

_INSERT_REQUEST = """
insert into request (
  request_id, ts_us, user, project, session, conversation, key, client, endpoint,
  model_requested, model_used, backend, error_reason, finish_reason, origin, status,
  http_code, streamed, local, tool_calls, new_messages, tok_in, tok_out, tok_total,
  tok_cached, tok_cache_write, tok_reasoning, usage_source, duration_us, first_token_us,
  upstream_us, queue_us, billed_nano, device_watts, user_source, project_source,
  session_source, retry_of
) values (
  :request_id, :ts_us, :user, :project, :session, :conversation, :key, :client, :endpoint,
  :model_requested, :model_used, :backend, :error_reason, :finish_reason, :origin, :status,
  :http_code, :streamed, :local, :tool_calls, :new_messages, :tok_in, :tok_out, :tok_total,
  :tok_cached, :tok_cache_write, :tok_reasoning, :usage_source, :duration_us, :first_token_us,
  :upstream_us, :queue_us, :billed_nano, :device_watts, :user_source, :project_source,
  :session_source, :retry_of
) on conflict (request_id) do nothing
"""

_KEEP_FIRST_ACTIVE = """
insert into meta (name, value)
select 'first_active_us', min(ts_us) from request where id > ? and active group by 1
on conflict (name) do update set value = min(value, excluded.value)
"""

_BUCKETS = """
select bucket, sum(active) as requests, sum(tokens) as tokens
from request where {scope} group by bucket having sum(active) or sum(tokens) order by bucket
"""

# A backend told the tokens by usage (1), by timings (2) or by its tokeniser (3).
_GROUPS = """
select model_used, backend, local, status, sum(active) as requests,
  sum(not superseded) as all_requests, sum(usage_source in (1, 2, 3) and not superseded) as told,
  sum(active * new_messages) as messages, sum(tokens) as tokens,
  coalesce(sum(tok_in), 0) as prompt_tokens,
  coalesce(sum(tok_out), 0) as completion_tokens, coalesce(sum(tok_cached), 0) as cached_tokens,
  coalesce(sum(tok_reasoning), 0) as reasoning_tokens
from request where {scope} group by model_used, backend, local, status
"""

_DISTINCT = """
select count(distinct project) as projects, count(distinct conversation) as conversations,
  count(distinct session) as sessions,
  count(distinct iif(session is null, conversation, null)) as loose_conversations
from request where {scope} and active
"""

# A silence of more than 30 minutes ends a sitting of one user, key and project.
_INFERRED_SESSIONS = """
select count(*) as n from (
  select ts_us - lag(ts_us) over (partition by user, key, project order by ts_us) as silence
  from request where {scope} and active and session is null and conversation is null
) where silence is null or silence > 1800000000
"""

_FIRST_ACTIVE = "select min(ts_us) as ts_us from request where {scope} and active"

# Kept apart, so that deleting old requests does not move the beginning.
_KEPT_FIRST_ACTIVE = "select min(value) as ts_us from meta where name = 'first_active_us'"

_PAGE = """
select * from request where {scope} order by ts_us desc, id desc limit :limit
"""


class SqliteStore:
    """A `MetricsStore` in one SQLite file. Made by `open_store`."""

    def __init__(self, database: Database, max_labels: int) -> None:
        self._database = database
        self._max_labels = max_labels

    async def append(self, rows: Sequence[RequestRow]) -> int:
        """Keep those whose id is new, with their attempts; return how many."""
        async with self._database.transaction() as tx:
            ids = await ids_of(tx, labels_of(rows), self._max_labels)
            (last,) = await tx.execute_fetchall("select coalesce(max(id), 0) from request")
            await tx.executemany(_INSERT_REQUEST, [request_parameters(row, ids) for row in rows])
            # Ids only grow within a transaction, so these are the rows that are new.
            new = await tx.execute_fetchall(
                "select id, request_id from request where id > ?", tuple(last)
            )
            first_sent: dict[bytes, RequestRow] = {}
            for row in rows:
                first_sent.setdefault(row.request_id.bytes, row)
            await tx.executemany(
                "insert into attempt values (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    parameters
                    for number, request_id in new
                    for parameters in attempt_parameters(number, first_sent[request_id], ids)
                ],
            )
            for statement in SUPERSEDE:
                await tx.execute(statement, tuple(last))
            await tx.execute(_KEEP_FIRST_ACTIVE, tuple(last))
        return len(list(new))

    async def timings(self, scope: Scope) -> tuple[Timings, ...]:
        """Return how long answers of `scope` took that were not lair's own, where known."""
        where, parameters = _where(scope)
        async with self._snapshot() as connection:
            return await read_timings(connection, where, parameters)

    async def use(self, scope: Scope) -> Use:
        """Sum up what was used in `scope`, as it is at one moment."""
        where, parameters = _where(scope)
        first_active_sql = _KEPT_FIRST_ACTIVE if scope.whole else _FIRST_ACTIVE.format(scope=where)
        async with self._snapshot() as connection:
            buckets = await connection.execute_fetchall(_BUCKETS.format(scope=where), parameters)
            groups = await connection.execute_fetchall(_GROUPS.format(scope=where), parameters)
            distinct = await _one(connection, _DISTINCT.format(scope=where), parameters)
            sittings = await _one(connection, _INFERRED_SESSIONS.format(scope=where), parameters)
            first_active = await _one(connection, first_active_sql, parameters)
            names = await values_of(
                connection, [row[name] for row in groups for name in ("model_used", "backend")]
            )
        return Use(
            buckets=tuple(BucketUse(**row) for row in buckets),
            groups=tuple(read_group(row, names) for row in groups),
            distinct=Distinct(**distinct, inferred_sessions=sittings["n"]),
            first_active_us=first_active["ts_us"],
        )

    async def requests(self, scope: Scope, limit: int, after: Position | None) -> Page:
        """List at most `limit` requests of `scope`, the latest first, from `after` on."""
        where, parameters = _where(scope)
        if after:
            where += " and (ts_us, id) < (:after_us, :after_id)"
            parameters |= {"after_us": after.ts_us, "after_id": after.row}
        async with self._snapshot() as connection:
            found = list(
                await connection.execute_fetchall(
                    _PAGE.format(scope=where), {**parameters, "limit": limit + 1}
                )
            )
            page = found[:limit]
            attempts = await connection.execute_fetchall(
                "select * from attempt where request in (select value from json_each(?))"
                " order by request, n",
                (json.dumps([row["id"] for row in page]),),
            )
            labels = [row[name] for row in page for name in LABELS]
            labels += [row[name] for row in attempts for name in ("backend", "model")]
            names = await values_of(connection, labels)
        tries: defaultdict[int, list[Attempt]] = defaultdict(list)
        for row in attempts:
            tries[row["request"]].append(read_attempt(row, names))
        more = len(found) > limit
        return Page(
            rows=tuple(read_request(row, tries[row["id"]], names) for row in page),
            next=Position(page[-1]["ts_us"], page[-1]["id"]) if more else None,
        )

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[aiosqlite.Connection]:
        """Lend a reader on which all queries see the same commit."""
        async with self._database.reader() as connection:
            try:
                await connection.execute("begin")
                yield connection
            finally:
                await connection.rollback()


@asynccontextmanager
async def open_store(path: Path, *, max_labels: int = MAX_LABELS) -> AsyncIterator[SqliteStore]:
    """Open the store in `path`, made if it does not exist. Raises `StorageError`."""
    async with open_database(path, files(__package__) / "sql") as database:
        yield SqliteStore(database, max_labels)


async def _one(
    connection: aiosqlite.Connection, sql: str, parameters: dict[str, Any]
) -> dict[str, Any]:
    """Return the only row of a query, by column."""
    (row,) = await connection.execute_fetchall(sql, parameters)
    return dict(row)


def _where(scope: Scope) -> tuple[str, dict[str, Any]]:
    """Return the condition of a scope: fixed texts only, values as parameters.

    Without bounds of time there must be no condition on it, or SQLite would look up
    every row through the index.
    """
    conditions = {
        "user": ("user = (select id from dim where kind = 1 and value = :user)", scope.user),
        "project": (
            "project = (select id from dim where kind = 2 and value = :project)",
            scope.project,
        ),
        "key": ("key = (select id from dim where kind = 5 and value = :key)", scope.key),
        "start_us": ("ts_us >= :start_us", scope.start_us),
        "end_us": ("ts_us < :end_us", scope.end_us),
    }
    used = {name: it for name, it in conditions.items() if it[1] not in ("", None)}
    where = " and ".join(text for text, _ in used.values()) or "true"
    return where, {name: value for name, (_, value) in used.items()}
