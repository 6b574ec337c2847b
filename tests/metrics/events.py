"""Requests for tests: rows, records, and the services over a fresh database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import grpc

from lair.common.v1.caller_pb2 import Caller
from lair.common.v1.chat_pb2 import Usage
from lair.metrics.v1 import usage_pb2
from lair.metrics.v1.report_service_pb2_grpc import ReportServiceStub
from lair.metrics.v1.usage_service_pb2_grpc import UsageServiceStub
from metrics_svc.costs.pricer import NoPrices, Pricer
from metrics_svc.main import servicers
from metrics_svc.model import RequestRow, Status
from metrics_svc.storage.sqlite import open_store
from svckit.channels import connect
from svckit.grpc_server import serving
from svckit.times import to_timestamp

if TYPE_CHECKING:  # these exist in the stubs only
    from lair.metrics.v1.report_service_pb2_grpc import ReportServiceAsyncStub
    from lair.metrics.v1.usage_service_pb2_grpc import UsageServiceAsyncStub

NOW_US = 1_795_257_000_000_000  # 2026-11-21T10:30:00Z
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
NO_PRICES = NoPrices()


def us(text: str) -> int:
    """Return the microseconds of an ISO time, UTC where it has no offset."""
    time = datetime.fromisoformat(text)
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return int(time.timestamp()) * 1_000_000 + time.microsecond


def uuid(number: int, ts_us: int = NOW_US) -> UUID:
    """Return the UUIDv7 of a millisecond and a number."""
    return UUID(int=(max(ts_us, 0) // 1000) << 80 | 7 << 76 | 2 << 62 | number)


def row(number: int, ts_us: int = NOW_US, **fields: Any) -> RequestRow:
    """Return a client's answered request, `fields` changed."""
    return RequestRow(
        **{"request_id": uuid(number, ts_us), "ts_us": ts_us, "status": Status.OK, **fields}
    )


def record(
    number: int, ts_us: int = NOW_US, *, tokens: tuple[int, int] | None = None, **fields: Any
) -> usage_pb2.RequestRecord:
    """Return the record of a client's answered request, `fields` changed."""
    caller = {
        name: fields.pop(name)
        for name in (
            *("user_id", "project", "session_id", "client", "key_id"),
            *("user_source", "project_source", "session_source"),
        )
        if name in fields
    }
    if tokens is not None:
        fields["usage"] = Usage(prompt_tokens=tokens[0], completion_tokens=tokens[1])
        fields.setdefault("usage_source", usage_pb2.USAGE_SOURCE_UPSTREAM)
    return usage_pb2.RequestRecord(
        **{
            "request_id": str(uuid(number, ts_us)),
            "request_time": to_timestamp(ts_us),
            "caller": Caller(**caller),
            "origin": usage_pb2.ORIGIN_CLIENT,
            "status": usage_pb2.STATUS_OK,
            **fields,
        }
    )


@dataclass(frozen=True)
class Stubs:
    """What a client of metrics_svc holds."""

    channel: grpc.aio.Channel
    usage: UsageServiceAsyncStub
    report: ReportServiceAsyncStub


@asynccontextmanager
async def running(
    database: Path,
    *,
    zone: str = "UTC",
    now_us: int = NOW_US,
    pricer: Pricer = NO_PRICES,
    **store: Any,
) -> AsyncIterator[Stubs]:
    """Serve metrics over `database` on a free port."""
    async with (
        open_store(database, **store) as opened,
        serving(
            servicers(opened, ZoneInfo(zone), lambda: now_us, pricer),
            "127.0.0.1:0",
            grace_seconds=0,
        ) as port,
        connect(f"127.0.0.1:{port}") as channel,
    ):
        yield Stubs(channel, UsageServiceStub(channel), ReportServiceStub(channel))
