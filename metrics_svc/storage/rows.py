"""Requests as rows of SQLite: what is bound to a statement, and what is read back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec

from metrics_svc.model import Attempt, CostSource, Origin, RequestRow, Status, Tokens, UsageSource
from metrics_svc.storage.combos import KINDS, SOURCES
from metrics_svc.storage.dims import Kind, Label

Ids = Mapping[Label, int]
Names = Mapping[int | None, str]

# Columns that hold a field of the same name as it is.
_PLAIN = (
    *("ts_us", "tool_calls", "new_messages", "duration_us", "first_token_us", "upstream_us"),
    *("queue_us", "billed_nano", "cost_nano", "ref1_nano", "ref2_nano", "device_watts"),
)
# Columns of the tokens, and their fields.
_TOKENS = {
    "tok_in": "prompt",
    "tok_out": "completion",
    "tok_cached": "cached",
    "tok_cache_write": "cache_write",
    "tok_reasoning": "reasoning",
}
_COLUMNS = (
    *("combo", "session", "conversation", "finish_reason", "attempts", "tok_over"),
    *_PLAIN,
    *_TOKENS,
)
_as_it_is = attrgetter(*_PLAIN, *(f"tokens.{name}" for name in _TOKENS.values()))

# One statement for all of a batch: a step for each would give way to every other thread of
# Python in between. JSON has no blobs, so ids come behind one another, 16 bytes each.
INSERT_REQUESTS = f"""
insert into request (request_id, retry_of, {", ".join(_COLUMNS)})
select substr(:ids, 16 * it.key + 1, 16), substr(:repeated, 16 * (it.value ->> 0) + 1, 16),
  {", ".join(f"it.value ->> {number}" for number in range(1, len(_COLUMNS) + 1))}
from json_each(:rows) as it where true
on conflict (request_id) do nothing
"""  # noqa: S608  # fixed names
INSERT_ATTEMPT = "insert into attempt values (?, ?, ?, ?, ?, ?, ?, ?)"

# Texts that a request has for itself.
OWN_LABELS = {
    "session": Kind.SESSION,
    "conversation": Kind.CONVERSATION,
    "finish_reason": Kind.FINISH_REASON,
}


def labels_of(rows: Sequence[RequestRow]) -> Iterator[Label]:
    """Yield every text of `rows` that stands in no combo; mostly once."""
    for name, kind in OWN_LABELS.items():
        yield from ((kind, text) for text in dict.fromkeys(map(attrgetter(name), rows)))
    for row in rows:
        if has_rows(row):
            for attempt in row.attempts:
                yield Kind.BACKEND, attempt.backend
                yield Kind.MODEL, attempt.model


def has_rows(row: RequestRow) -> bool:
    """Tell whether its attempts are more than the columns of the request say."""
    if len(row.attempts) != 1:
        return bool(row.attempts)
    (attempt,) = row.attempts
    return (
        attempt.duration_us != row.upstream_us
        or attempt.status is not row.status
        or attempt.http_code != row.http_code
        or attempt.backend != row.backend
        or attempt.model != row.model_used
        or bool(attempt.error)
    )


def request_parameters(
    rows: Sequence[RequestRow], combos: Sequence[int], ids: Ids
) -> dict[str, bytes]:
    """Return what rows of `request` are made of, for `INSERT_REQUESTS`."""
    repeated = [row.retry_of.bytes for row in rows if row.retry_of]
    places = count()
    found = [
        (next(places) if row.retry_of else None, *_columns(row, combo, ids))
        for row, combo in zip(rows, combos, strict=True)
    ]
    return {
        "ids": b"".join([row.request_id.bytes for row in rows]),
        "repeated": b"".join(repeated),
        "rows": msgspec.json.encode(found),
    }


def _columns(row: RequestRow, combo: int, ids: Ids) -> tuple[Any, ...]:
    tokens = row.tokens
    over = tokens.total
    if over is not None:
        over -= (tokens.prompt or 0) + (tokens.completion or 0)
    return (
        combo,
        ids.get((Kind.SESSION, row.session)),
        ids.get((Kind.CONVERSATION, row.conversation)),
        ids.get((Kind.FINISH_REASON, row.finish_reason)),
        -1 if len(row.attempts) == 1 and has_rows(row) else len(row.attempts),
        over,
        *_as_it_is(row),
    )


def attempt_parameters(request: int, row: RequestRow, ids: Ids) -> Iterator[tuple[Any, ...]]:
    """Yield what the rows of `attempt` are made of, for `INSERT_ATTEMPT`."""
    for number, attempt in enumerate(row.attempts):
        yield (
            request,
            number,
            ids.get((Kind.BACKEND, attempt.backend)),
            ids.get((Kind.MODEL, attempt.model)),
            int(attempt.status),
            attempt.http_code or None,
            attempt.duration_us,
            attempt.error or None,
        )


def read_request(row: sqlite3.Row, attempts: Sequence[Attempt], names: Names) -> RequestRow:
    """Make a request of its row and its combo's, its attempts and the texts of its ids."""
    fields: dict[str, Any] = {name: row[name] for name in (*_PLAIN, *SOURCES)}
    fields |= {name: names[row[name]] for name in (*KINDS, *OWN_LABELS)}
    return RequestRow(
        request_id=UUID(bytes=row["request_id"]),
        status=Status(row["status"]),
        origin=Origin(row["origin"]),
        usage_source=UsageSource(row["usage_source"]),
        cost_source=CostSource(row["cost_source"]),
        streamed=bool(row["streamed"]),
        local=bool(row["local"]),
        http_code=row["http_code"],
        retry_of=UUID(bytes=row["retry_of"]) if row["retry_of"] else None,
        tokens=_tokens(row),
        attempts=(_attempt_of(row, names),) if row["attempts"] == 1 else tuple(attempts),
        **fields,
    )


def read_attempt(row: sqlite3.Row, names: Names) -> Attempt:
    """Make an attempt of its row and the texts of its ids."""
    return Attempt(
        backend=names[row["backend"]],
        model=names[row["model"]],
        status=Status(row["status"]),
        http_code=row["http_code"] or 0,
        duration_us=row["duration_us"],
        error=row["error"] or "",
    )


def _tokens(row: sqlite3.Row) -> Tokens:
    total = row["tok_over"]
    if total is not None:
        total += (row["tok_in"] or 0) + (row["tok_out"] or 0)
    return Tokens(total=total, **{name: row[column] for column, name in _TOKENS.items()})


def _attempt_of(row: sqlite3.Row, names: Names) -> Attempt:
    """Return the attempt that the request itself tells."""
    return Attempt(
        backend=names[row["backend"]],
        model=names[row["model_used"]],
        status=Status(row["status"]),
        http_code=row["http_code"],
        duration_us=row["upstream_us"],
        error="",
    )
