"""Many clients of one lair at a time, and servers whose answers wait for the test."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import aiohttp

from tests.e2e.stack import Lair, lair_environment
from tests.fakes.answers import Answer, completion
from tests.fakes.openai_server import OpenAIServer

T = TypeVar("T")
PATIENCE_SECONDS = 30.0
# The `probe_seconds` of a lair that looks at its backends at its start, and when told to.
ONLY_WHEN_TOLD = "3600"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client got: the text of the first choice, and all of it as it came."""

    status: int
    headers: Mapping[str, str]
    text: str
    body: str

    @property
    def backend(self) -> str:
        """Who answered."""
        return self.headers["x-lair-backend"]

    @property
    def fallbacks(self) -> int:
        """How many were asked in vain before."""
        return int(self.headers["x-lair-fallbacks"])


class Client:
    """Asks one lair over HTTP; any number of requests at a time."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def ask(
        self,
        *texts: str,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> Reply:
        """Send a chat whose messages are the user's and the assistant's in turn."""
        roles = ("user", "assistant")
        messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
        body = {"temperature": 0, "stream": stream, "messages": messages, **fields}
        url = f"{self.url}/v1/chat/completions"
        async with self._session.post(url, json=body, headers=headers) as reply:
            got = await reply.text()
            text = streamed_text(got) if stream else _text(got)
            return Reply(reply.status, reply.headers, text, got)

    @asynccontextmanager
    async def pieces(
        self, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Stream a chat; give the answer as it comes."""
        url = f"{self.url}/v1/chat/completions"
        async with self._session.post(url, json={**body, "stream": True}, headers=headers) as got:
            assert got.status == 200, await got.text()
            yield got

    async def get(self, path: str) -> Any:
        """GET a path that must answer 200; return its JSON."""
        async with self._session.get(self.url + path) as reply:
            assert reply.status == 200, await reply.text()
            return await reply.json()

    async def providers(self) -> dict[str, dict[str, Any]]:
        """Return how each backend is, by its name."""
        listed = await self.get("/providers")
        return {backend["name"]: backend for backend in listed["providers"]}

    async def busy(self, backend: str, *, in_flight: int, queued: int) -> None:
        """Wait until a backend works on so many requests, and so many wait for it."""

        async def so_many() -> bool:
            now = (await self.providers())[backend]
            return (now["in_flight"], now["queued"]) == (in_flight, queued)

        await became(so_many, f"{backend} works on {in_flight}, {queued} wait")

    async def records(self, count: int) -> dict[str, dict[str, Any]]:
        """Return all counted requests by id, once there are `count`."""

        async def read() -> list[dict[str, Any]]:
            page = await self.get("/metrics/recent?limit=1000")
            requests: list[dict[str, Any]] = page["requests"]
            return requests if len(requests) >= count else []

        records = await became(read, f"{count} requests are counted")
        by_id = {record["request_id"]: record for record in records}
        assert len(by_id) == len(records) == count, "none is counted twice"
        return by_id


@asynccontextmanager
async def clients(lair: Lair) -> AsyncIterator[Client]:
    """Open as many connections to a lair as requests need."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=2 * PATIENCE_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Client(lair.url, session)


@asynccontextmanager
async def aside(context: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter what blocks, such as `lair_up`, without keeping servers of this loop from serving."""
    entered = await asyncio.to_thread(context.__enter__)
    try:
        yield entered
    finally:
        await asyncio.to_thread(context.__exit__, *sys.exc_info())


async def became(check: Callable[[], Awaitable[T]], what: str) -> T:
    """Return the first truthy result of `check`; fail after a generous while."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (result := await check()):
        assert time.monotonic() < deadline, f"did not come true: {what}"
        await asyncio.sleep(0.02)
    return result


async def lair_command(lair: Lair, *words: str, code: int = 0) -> str:
    """Run a command of `lair` that must end with `code`; return what it printed."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "launcher", *words, "--port", str(lair.port)],
        env=lair_environment(),
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


async def look_again(lair: Lair, client: Client) -> dict[str, str]:
    """Have a lair look at its backends; return how it finds each, by its name."""
    await lair_command(lair, "reload")
    return {name: now["state"] for name, now in (await client.providers()).items()}


@dataclass(slots=True)
class Gate:
    """A script whose answers wait until they are let go, each on its own or all at once."""

    opened: list[asyncio.Event] = field(default_factory=list)
    is_open: bool = False

    def __call__(self, _: object) -> Answer:
        """Answer one request, when it is let go."""
        event = asyncio.Event()
        if self.is_open:
            event.set()
        self.opened.append(event)
        return replace(completion("yes"), before=(event,))

    @property
    def held(self) -> int:
        """How many answers wait."""
        return sum(not event.is_set() for event in self.opened)

    def open(self) -> None:
        """Let all go, those to come included."""
        self.is_open = True
        for event in self.opened:
            event.set()


def names_in(server: OpenAIServer) -> list[str]:
    """Return the last words of each chat that reached a server, in the order of its log."""
    return [received.body["messages"][-1]["content"] for received in server.received]


def streamed_text(body: str) -> str:
    """Join the pieces of a stream."""
    chunks = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk.get("choices", ())]
    return "".join(delta.get("content") or "" for delta in deltas)


def _text(body: str) -> str:
    choices: Sequence[Mapping[str, Any]] = json.loads(body).get("choices") or ()
    return str(choices[0]["message"]["content"]) if choices else ""
