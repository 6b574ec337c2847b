"""Take metrics away from a busy lair and give it back: `python -m bench.outage`.

Gateway, router and metrics run in processes of their own. metrics is killed, requests go on
for `--seconds` (streams and whole replies in turn), and metrics is started again. Then every
answered request must be counted once. The same again with a journal of 1 MB, which must not
hold all of them: what was dropped is told, and all else is counted. Prints a table, writes
bench/results/outage.json, and fails where a request is lost, doubled or refused.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.table import Table

from bench.load import PATH
from bench.processes import PORTS_IN_A_ROW, free_ports, program, quiet_lair_environment, stub_server

RESULTS = Path(__file__).parent / "results" / "outage.json"
SECONDS, RATE = 600.0, 20.0
# So many at once fill a journal of a megabyte within seconds.
SMALL_SPOOL_MB, SMALL_SPOOL_REQUESTS, AT_ONCE = 1, 6_000, 16
_PATIENCE = 120.0
_DROPPED = re.compile(r'^lair_outbox_dropped_total\{outbox="metrics"\} (\S+)', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outage:
    """What came of one outage; `lost` and `doubled` are beside what lair says it dropped."""

    seconds: float
    spool_mb: int
    answered: int
    refused: int
    most_journal_kb: int
    health: str
    counted: int
    doubled: int
    dropped: int
    caught_up_seconds: float

    @property
    def lost(self) -> int:
        """Return how many requests are neither counted nor told to be dropped."""
        return self.answered - self.counted - self.dropped

    @property
    def well(self) -> bool:
        """Tell whether nothing was lost, doubled or refused, and the outage was told."""
        return not (self.lost or self.doubled or self.refused) and self.health == "degraded"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="without metrics (600)")
    parser.add_argument("--rate", type=float, default=RATE, help="requests a second (20)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where to write the figures")
    args = parser.parse_args()
    outages = [
        run(args.seconds, args.rate, spool_mb=256),
        run(0.0, 0.0, spool_mb=SMALL_SPOOL_MB),
    ]
    _print(outages)
    args.output.parent.mkdir(exist_ok=True)
    told = [{**asdict(outage), "lost": outage.lost} for outage in outages]
    args.output.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    whole, small = outages
    return 0 if whole.well and not whole.dropped and small.well and small.dropped else 1


def run(seconds: float, rate: float, *, spool_mb: int) -> Outage:
    """Take metrics away for `seconds` at `rate`, or for as long as many requests at once take."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        upstream = f"http://127.0.0.1:{stack.enter_context(stub_server())}/v1"
        services = Services(folder, upstream, spool_mb)
        stack.enter_context(services.running("router"))
        stack.enter_context(services.running("gateway"))
        return asyncio.run(_outage(services, seconds, rate))


class Services:
    """The processes of one lair."""

    def __init__(self, folder: Path, upstream: str, spool_mb: int) -> None:
        self.folder = folder
        self.port = free_ports(PORTS_IN_A_ROW)
        self.spool_mb = spool_mb
        self.most_journal_kb = 0
        self.environment = {
            **quiet_lair_environment(folder / "data", upstream),
            "LAIR_GATEWAY__PORT": str(self.port),
            "LAIR_MEMORY__ENABLED": "false",
            "LAIR_ROUTER__SPOOL_MB": str(spool_mb),
        }

    @contextmanager
    def running(self, service: str, *, killed: bool = False) -> Iterator[None]:
        """Run a service; at the end stop it, or kill it."""
        folder = self.folder / service
        folder.mkdir(exist_ok=True)
        with program(["-m", "launcher", service], self.environment, folder) as process:
            yield
            if killed:
                process.kill()

    def journal_kb(self) -> int:
        """Return how much waits in the journal of records."""
        journal = self.folder / "data" / "router" / "records"
        return sum(path.stat().st_size for path in journal.glob("*.log")) // 1000


async def _outage(services: Services, seconds: float, rate: float) -> Outage:
    load = Load(f"http://127.0.0.1:{services.port}")
    async with aiohttp.ClientSession() as session:
        with services.running("metrics", killed=True):
            await load.until_answered(session)
            await _until_counted(session, load, services.port)
        watching = asyncio.create_task(_watch(services))
        begin = time.monotonic()
        if rate:
            await load.steadily(session, seconds, rate)
        else:
            await load.at_once(session, SMALL_SPOOL_REQUESTS)
        outage_seconds = time.monotonic() - begin
        health = await _health(session, services.port)
        watching.cancel()
        begin = time.monotonic()
        with services.running("metrics"):
            counted, dropped = await _until_counted(session, load, services.port)
            caught_up = time.monotonic() - begin
    return Outage(
        seconds=round(outage_seconds, 1),
        spool_mb=services.spool_mb,
        answered=len(load.answered),
        refused=load.refused,
        most_journal_kb=services.most_journal_kb,
        health=health,
        counted=len(set(counted) & load.answered),
        doubled=sum(count - 1 for count in counted.values()),
        dropped=dropped,
        caught_up_seconds=round(caught_up, 1),
    )


async def _watch(services: Services) -> None:
    while True:
        services.most_journal_kb = max(services.most_journal_kb, services.journal_kb())
        await asyncio.sleep(0.2)


class Load:
    """Requests to one lair, and what came of them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answered: set[str] = set()
        self.refused = 0

    async def until_answered(self, session: aiohttp.ClientSession) -> None:
        """Send one request after the other until one is answered."""
        deadline = time.monotonic() + _PATIENCE
        while not self.answered and time.monotonic() < deadline:
            try:
                await self.ask(session, stream=False)
            except aiohttp.ClientError:
                await asyncio.sleep(0.2)
        self.refused = 0  # it was not up yet

    async def steadily(self, session: aiohttp.ClientSession, seconds: float, rate: float) -> None:
        """Send so many a second, whatever becomes of them."""
        begin, sent = time.monotonic(), 0
        async with asyncio.TaskGroup() as tasks:
            while (now := time.monotonic() - begin) < seconds:
                while sent < now * rate:
                    tasks.create_task(self.ask(session, stream=bool(sent % 2)))
                    sent += 1
                await asyncio.sleep(1 / rate)

    async def at_once(self, session: aiohttp.ClientSession, count: int) -> None:
        """Send `count`, some at a time."""

        async def some() -> None:
            for sent in range(count // AT_ONCE):
                await self.ask(session, stream=bool(sent % 2))

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))

    async def ask(self, session: aiohttp.ClientSession, *, stream: bool) -> None:
        """Send one request and read its reply to the end."""
        message = {"role": "user", "content": "Say something."}
        body = {"model": "stub", "messages": [message], "stream": stream, "max_tokens": 5}
        async with session.post(self.url + PATH, json=body) as reply:
            text = await reply.text()
            if reply.status == HTTPStatus.OK and (not stream or "[DONE]" in text):
                self.answered.add(reply.headers["x-request-id"])
            else:
                self.refused += 1


async def _until_counted(
    session: aiohttp.ClientSession, load: Load, port: int
) -> tuple[Counter[str], int]:
    """Wait until nothing more is counted; return how often each request is, and the drops."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        counted, dropped = await _counted(session, port), await _dropped(session, port)
        if len(counted) + dropped >= len(load.answered) or time.monotonic() > deadline:
            return counted, dropped
        await asyncio.sleep(0.5)


async def _counted(session: aiohttp.ClientSession, port: int) -> Counter[str]:
    url = f"http://127.0.0.1:{port}/metrics/export?format=jsonl"
    async with session.get(url) as reply:
        if reply.status != HTTPStatus.OK:
            return Counter()
        lines = (await reply.text()).splitlines()
    return Counter(json.loads(line)["request_id"] for line in lines)


async def _dropped(session: aiohttp.ClientSession, port: int) -> int:
    async with session.get(f"http://127.0.0.1:{port}/metrics") as reply:
        found = _DROPPED.search(await reply.text())
    return int(float(found[1])) if found else 0


async def _health(session: aiohttp.ClientSession, port: int) -> str:
    async with session.get(f"http://127.0.0.1:{port}/health") as reply:
        return str((await reply.json())["status"])


def _print(outages: list[Outage]) -> None:
    shown = Table(title="metrics away, and back")
    for name in ("", *(f"journal of {outage.spool_mb} MB" for outage in outages)):
        shown.add_column(name, justify="right" if name else "left")
    for name in (*asdict(outages[0]), "lost"):
        if name != "spool_mb":
            shown.add_row(name.replace("_", " "), *(str(getattr(each, name)) for each in outages))
    Console().print(shown)


if __name__ == "__main__":
    sys.exit(main())
