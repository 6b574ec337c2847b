"""A terminal that closes, told from a request to reload."""

from __future__ import annotations

import os

from launcher import terminal


def test_a_terminal_that_closes_is_noticed() -> None:
    master, slave = os.openpty()
    try:
        before = terminal.terminals((slave,))
        assert before == (slave,)
        assert not terminal.closed(before)
        os.close(master)
        assert terminal.closed(before)
    finally:
        os.close(slave)


def test_who_never_had_a_terminal_loses_none() -> None:
    reader, writer = os.pipe()
    before = terminal.terminals((reader, writer))
    os.close(reader)
    os.close(writer)

    assert before == ()
    assert not terminal.closed(before)
