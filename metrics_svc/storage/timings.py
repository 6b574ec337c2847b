"""How long answers took, out of SQLite: one row for each model and backend.

SQLite packs what it measured of each into one text, as that is several times faster than
to sort there or to hand over each request for itself.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from typing import Any

import aiosqlite
import msgspec

from metrics_svc.model import Timings
from metrics_svc.storage.dims import values_of
from metrics_svc.storage.rows import Names

# What ended well (1) and was not lair's own (2), and is counted with its duration.
_TIMINGS = """
select model_used, backend, count(*) as requests, json_group_array(duration_us) as duration_us,
  json_group_array(first_token_us) filter (where first_token_us is not null) as first_token_us,
  json_group_array(queue_us) filter (where queue_us is not null) as queue_us,
  json_group_array((tok_out - 1) * 1000000.0 / (duration_us - first_token_us))
    filter (where tok_out > 1 and duration_us > first_token_us) as tokens_per_second
from request
where {scope} and status = 1 and origin <> 2 and not superseded and duration_us is not null
group by model_used, backend
"""

_TIMES = msgspec.json.Decoder(list[int])
_RATES = msgspec.json.Decoder(list[float])


async def read_timings(
    connection: aiosqlite.Connection, scope: str, parameters: Mapping[str, Any]
) -> tuple[Timings, ...]:
    """Return what was measured of answers that meet the condition `scope`."""
    rows = list(await connection.execute_fetchall(_TIMINGS.format(scope=scope), parameters))
    labels = [row[name] for row in rows for name in ("model_used", "backend")]
    names = await values_of(connection, labels)
    return await asyncio.to_thread(lambda: tuple(_read(row, names) for row in rows))


def _read(row: sqlite3.Row, names: Names) -> Timings:
    return Timings(
        model=names[row["model_used"]],
        backend=names[row["backend"]],
        requests=row["requests"],
        duration_us=_TIMES.decode(row["duration_us"]),
        first_token_us=_TIMES.decode(row["first_token_us"]),
        queue_us=_TIMES.decode(row["queue_us"]),
        tokens_per_second=_RATES.decode(row["tokens_per_second"]),
    )
