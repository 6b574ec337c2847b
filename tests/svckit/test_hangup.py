"""SIGHUP: a service reloads; what lives in a terminal ends with it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from svckit import hangup
from tests.fakes.terminal import in_terminal

PROGRAM = str(Path(__file__).with_name("hangup_program.py"))


def test_a_terminal_that_closes_is_noticed_and_let_go() -> None:
    master, slave = os.openpty()
    try:
        before = hangup.terminals((slave,))
        assert before == (slave,)
        assert not hangup.closed(before)
        hangup.let_go(before)
        assert os.isatty(slave)
        os.close(master)
        assert hangup.closed(before)
        with pytest.raises(OSError, match="Input/output"):
            os.write(slave, b"x")
        hangup.let_go(before)
        assert os.write(slave, b"x") == 1
    finally:
        os.close(slave)


def test_who_never_had_a_terminal_loses_none() -> None:
    reader, writer = os.pipe()
    before = hangup.terminals((reader, writer))
    os.close(reader)
    os.close(writer)

    assert before == ()
    assert not hangup.closed(before)


@pytest.mark.parametrize("options", [("reloads",), ()])
async def test_what_runs_in_a_terminal_stops_in_order_when_that_closes(
    options: tuple[str, ...],
) -> None:
    async with asyncio.timeout(20), in_terminal(PROGRAM, *options) as running:
        assert await running.line() == "ready"
        running.close()
        assert await running.line() == "stopped"
        assert await running.process.wait() == 0


async def test_what_reloads_does_so_while_its_terminal_is_there() -> None:
    async with asyncio.timeout(20), in_terminal(PROGRAM, "reloads") as running:
        assert await running.line() == "ready"
        for _ in range(2):
            running.process.send_signal(signal.SIGHUP)
            assert await running.line() == "reloading"
        running.process.send_signal(signal.SIGTERM)
        assert await running.line() == "stopped"
        assert await running.process.wait() == 0


async def test_a_shell_that_repeats_the_hangup_does_not_cut_the_stop_short() -> None:
    async with asyncio.timeout(20), in_terminal(PROGRAM, "reloads") as running:
        assert await running.line() == "ready"
        running.close()
        for _ in range(20):
            if running.process.returncode is None:
                running.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(0)
        assert await running.line() == "stopped"
        assert await running.process.wait() == 0
