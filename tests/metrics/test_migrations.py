"""A database of an older lair is brought up to date, with what it holds."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from metrics_svc.storage.sqlite import open_store
from svckit.sqlite import open_database
from tests.metrics.events import NOW_US, row, uuid
from tests.metrics.reading import listed, used

SQL = files("metrics_svc.storage") / "sql"


async def test_requests_from_before_devices_were_measured_are_kept(tmp_path: Path):
    first = tmp_path / "sql"
    first.mkdir()
    (first / "0001_initial.sql").write_bytes((SQL / "0001_initial.sql").read_bytes())
    path = tmp_path / "metrics.db"
    async with open_database(path, first) as database, database.transaction() as tx:
        await tx.execute(
            "insert into request (request_id, ts_us, origin, status, streamed, local,"
            " tool_calls, new_messages, usage_source) values (?, ?, 1, 1, 0, 0, 0, 0, 5)",
            (uuid(1).bytes, NOW_US),
        )
    measured = row(2, device_watts=350.0)
    async with open_store(path) as store:
        await store.append([measured])
        assert await listed(store) == [measured, row(1)]
        groups = (await used(store)).groups
    # What was there before there were sums is in them.
    assert sum(group.requests for group in groups) == 2
