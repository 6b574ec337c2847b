"""Serve metrics over a database that exists, for `bench/metrics_load.py`; print the port."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvloop

from bench.metrics_history import ZONE
from metrics_svc.main import open_service
from svckit.grpc_server import serving
from svckit.lifecycle import stop_requested
from svckit.settings import Metrics, Settings


async def serve(database: Path) -> None:
    """Serve until asked to stop. Nothing is deleted, however old it is."""
    metrics = Metrics(database=database, time_zone=ZONE.key, request_days=0, attempt_days=0)
    async with (
        open_service(Settings(data_dir=database.parent, metrics=metrics)) as services,
        serving(services, "127.0.0.1:0", grace_seconds=1) as port,
    ):
        print(port, flush=True)
        await stop_requested()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve metrics over a database.")
    parser.add_argument("database", type=Path)
    uvloop.run(serve(parser.parse_args().database))
