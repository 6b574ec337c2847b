"""A key's life: made by the command, used, refused; the owner's commands go on all the while."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.crowd import PATIENCE_SECONDS, Client, aside, became, clients, lair_command
from tests.e2e.stack import Lair, lair_environment, lair_up
from tests.fakes.openai_server import OpenAIServer


@asynccontextmanager
async def running(folder: Path, *options: str) -> AsyncIterator[tuple[Lair, Client]]:
    """Run a lair before a server that answers anything."""
    async with (
        OpenAIServer("tiny") as server,
        aside(lair_up(folder, *options, backends={"tiny": server.url})) as lair,
        clients(lair) as client,
    ):
        yield lair, client


async def keys(folder: Path, *words: str) -> str:
    """Run `lair keys` over the data of a lair, which it does not ask; return what it printed."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "launcher", "keys", *words, "--data-dir", str(folder / "data")],
        env=lair_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    return done.stdout.strip()


async def ask(lair: Lair, folder: Path, *words: str) -> str:
    """Run a command that asks a lair as its owner; return what it printed."""
    return await lair_command(lair, *words, "--data-dir", str(folder / "data"))


async def status_of(client: Client, secret: str) -> int:
    reply = await client.ask("Hi", headers={"Authorization": f"Bearer {secret}"})
    return reply.status


async def gets(client: Client, secret: str, status: int) -> None:
    """Wait until a request with a key is answered so."""

    async def is_so() -> bool:
        return await status_of(client, secret) == status

    await became(is_so, f"status {status}")


@pytest.mark.parametrize("layout", ["--separate", "--single-process"])
async def test_a_key_is_made_used_disabled_enabled_and_deleted(tmp_path: Path, layout: str) -> None:
    async with running(tmp_path, layout) as (lair, client):
        assert await status_of(client, "anything") == 200

        secret = await keys(tmp_path, "create", "laptop")
        await gets(client, "anything", 401)
        assert await status_of(client, secret) == 200
        await keys(tmp_path, "disable", "laptop")
        await gets(client, secret, 401)
        await keys(tmp_path, "enable", "laptop")
        await gets(client, secret, 200)
        assert "laptop" in await keys(tmp_path, "list")

        assert "lair is up" in await ask(lair, tmp_path, "status")
        assert "gaming mode is off" in await ask(lair, tmp_path, "gaming")
        assert "tiny" in await ask(lair, tmp_path, "route", "Hi")
        assert await ask(lair, tmp_path, "chat", "Hi")

        await keys(tmp_path, "delete", "laptop")
        await gets(client, "anything", 200)
        assert secret not in lair.output()


async def test_what_a_key_used_today_is_known_after_a_restart(tmp_path: Path) -> None:
    left = "x-ratelimit-remaining-tokens"
    async with running(tmp_path) as (lair, client):
        limit = ("--tokens-per-day", "1000000")
        secret = await keys(tmp_path, "create", "ci", *limit)
        shown = {"Authorization": f"Bearer {secret}"}
        await gets(client, "anything", 401)
        first = await client.ask("Hi", headers=shown)
        used = 1_000_000 - int(first.headers[left])
        assert used > 0
        await _delivered(lair, tmp_path)
    async with running(tmp_path) as (_, client):
        again = await client.ask("Hi", headers=shown)
        assert 1_000_000 - int(again.headers[left]) == 2 * used


async def _delivered(lair: Lair, folder: Path) -> None:
    """Wait until metrics has counted the request, asked as the owner."""
    token = (folder / "data" / "gateway" / "owner").read_text()

    async def counted() -> object:
        page = await asyncio.to_thread(lair.get, "/metrics/recent", Authorization=f"Bearer {token}")
        return page["requests"]

    await became(counted, "the request is counted")
