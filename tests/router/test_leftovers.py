"""What goes on without its request is waited for at a stop, and ended when it is late."""

from __future__ import annotations

import asyncio
import time

import pytest

from router_svc.leftovers import Leftovers

PROMPT_SECONDS = 2.0


async def test_a_stop_waits_for_what_ends_in_time() -> None:
    leftovers, done = Leftovers(10), asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0.05)
        done.set()

    leftovers.start(work())
    await leftovers.finish()
    assert done.is_set()


@pytest.mark.parametrize("grace", [0, 0.05])
async def test_who_is_late_is_ended_and_cleans_up(grace: float) -> None:
    leftovers, cleaned = Leftovers(grace), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    leftovers.start(work())
    since = time.monotonic()
    await leftovers.finish()
    assert cleaned.is_set()
    assert time.monotonic() - since < PROMPT_SECONDS


async def test_what_ends_by_itself_at_the_last_moment_is_no_fault() -> None:
    leftovers, done = Leftovers(0), asyncio.Event()

    async def work() -> None:
        done.set()

    leftovers.start(work())
    await leftovers.finish()
    assert done.is_set()


async def test_what_is_left_behind_while_ending_is_ended_too() -> None:
    leftovers, cleaned = Leftovers(0), asyncio.Event()

    async def last() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            leftovers.start(last())

    leftovers.start(work())
    async with asyncio.timeout(PROMPT_SECONDS):
        await leftovers.finish()
    assert cleaned.is_set()


async def test_a_failure_is_logged_and_stops_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    leftovers = Leftovers(10)

    async def work() -> None:
        raise RuntimeError("boom")

    leftovers.start(work())
    await leftovers.finish()
    assert "work without a client failed" in "".join(capsys.readouterr())
