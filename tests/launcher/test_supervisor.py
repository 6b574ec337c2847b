"""The supervisor, with real child processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from launcher.supervisor import Child, ChildRefusedError, Supervisor, Timing
from tests.launcher.support import HERE, Journal, gone, until

QUICK = Timing(first_delay=0.02, longest_delay=0.08, stage_patience=10, poll=0.01)


def child(journal: Journal, name: str, *options: str, stop_seconds: float = 10) -> Child:
    """Describe a child that is ready once it has started."""

    async def started() -> bool:
        return f"{name} started" in journal.lines()

    return Child(name, journal.argv(name, *options), started, stop_seconds)


@asynccontextmanager
async def supervised(
    stages: Sequence[Sequence[Child]], environment: Mapping[str, str], timing: Timing = QUICK
) -> AsyncIterator[Supervisor]:
    """Run a supervisor beside the test, until it has stopped by itself or is told to."""
    supervisor = Supervisor(stages, environment=environment, timing=timing)
    running = asyncio.create_task(supervisor.run())
    try:
        yield supervisor
    finally:
        supervisor.stop.set()
        await running


async def test_next_stage_starts_only_when_the_one_before_is_ready(
    journal: Journal, environment: dict[str, str], tmp_path: Path
) -> None:
    leave = tmp_path / "leave"

    async def allowed() -> bool:
        return leave.exists()

    first = Child("first", journal.argv("first"), allowed)
    async with supervised([[first], [child(journal, "second")]], environment):
        await until(lambda: "first started" in journal.lines())
        assert "second started" not in journal.lines()
        leave.touch()
        await until(lambda: "second started" in journal.lines())


async def test_next_stage_starts_after_a_while_though_the_one_before_is_not_ready(
    journal: Journal, environment: dict[str, str]
) -> None:
    async def never() -> bool:
        return False

    first = Child("first", journal.argv("first"), never)
    timing = Timing(stage_patience=0.1)
    async with supervised([[first], [child(journal, "second")]], environment, timing):
        await until(lambda: "second started" in journal.lines())


async def test_ready_is_told_once_the_last_stage_is_ready(
    journal: Journal, environment: dict[str, str]
) -> None:
    supervisor = Supervisor(
        [[child(journal, "first")], [child(journal, "second")]],
        environment=environment,
        timing=QUICK,
    )
    seen: list[str] = []

    async def on_ready() -> None:
        seen.extend(journal.lines())
        supervisor.stop.set()

    await supervisor.run(on_ready)

    assert seen == ["first started", "second started"]


async def test_killed_child_is_started_again_and_logged_in_one_line(
    journal: Journal, environment: dict[str, str]
) -> None:
    with capture_logs() as logs:
        async with supervised([[child(journal, "a")]], environment):
            await until(lambda: len(journal.pids("a")) == 1)
            os.kill(journal.pids("a")[0], signal.SIGKILL)
            await until(lambda: len(journal.pids("a")) == 2)

    assert [(line["child"], line["exit_code"]) for line in logs] == [("a", -signal.SIGKILL)]


async def test_restarts_wait_longer_each_time_up_to_a_limit(
    journal: Journal, environment: dict[str, str]
) -> None:
    with capture_logs() as logs:
        async with supervised([[child(journal, "a", "exit=1")]], environment):
            await until(lambda: len(journal.pids("a")) == 5)

    assert [line["after_seconds"] for line in logs][:4] == [0.02, 0.04, 0.08, 0.08]


async def test_restart_delay_begins_anew_after_a_steady_life(
    journal: Journal, environment: dict[str, str]
) -> None:
    any_life_is_steady = Timing(first_delay=0.02, steady_life=0, poll=0.01)
    with capture_logs() as logs:
        async with supervised([[child(journal, "a", "exit=1")]], environment, any_life_is_steady):
            await until(lambda: len(journal.pids("a")) == 4)

    assert {line["after_seconds"] for line in logs} == {0.02}


async def test_child_that_refuses_to_start_ends_everything(
    journal: Journal, environment: dict[str, str]
) -> None:
    async def never() -> bool:
        return False

    refusing = Child("refusing", journal.argv("refusing", "exit=78"), never)
    stages = [[child(journal, "steady")], [refusing]]

    with pytest.raises(ChildRefusedError, match="refusing"):
        await Supervisor(stages, environment=environment, timing=QUICK).run()

    assert journal.lines() == ["steady started", "refusing started", "steady stopped"]


async def test_child_that_was_ready_once_is_started_again_even_if_it_refuses(
    journal: Journal, environment: dict[str, str], tmp_path: Path
) -> None:
    """A full disk must not take the chat down."""
    program = tmp_path / "flaky.py"
    program.write_text(
        "import pathlib, sys, time\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "known = here.exists()\n"
        "open(here, 'a').write(f'flaky started 1\\n')\n"
        "sys.exit(78) if known else time.sleep(0.3)\n"
    )
    argv = (sys.executable, str(program), str(journal.path))
    flaky = Child("flaky", argv, child(journal, "flaky").ready)

    async with supervised([[flaky]], environment) as supervisor:
        await until(lambda: len(journal.lines()) >= 3)
        assert not supervisor.stop.is_set()


async def test_children_stop_in_reverse_order(
    journal: Journal, environment: dict[str, str]
) -> None:
    stages = [[child(journal, "store")], [child(journal, "router")], [child(journal, "gateway")]]
    async with supervised(stages, environment):
        await until(lambda: "gateway started" in journal.lines())

    assert journal.lines()[3:] == ["gateway stopped", "router stopped", "store stopped"]


async def test_child_that_does_not_end_in_time_is_killed(
    journal: Journal, environment: dict[str, str]
) -> None:
    stubborn = child(journal, "a", "stubborn", stop_seconds=0.1)
    async with supervised([[stubborn]], environment):
        await until(lambda: "a deaf" in journal.lines())

    assert gone(journal.pids("a")[0])
    assert "a stopped" not in journal.lines()


async def test_kill_ends_children_at_once(journal: Journal, environment: dict[str, str]) -> None:
    stubborn = child(journal, "a", "stubborn", stop_seconds=60)
    async with supervised([[stubborn]], environment) as supervisor:
        await until(lambda: "a deaf" in journal.lines())
        supervisor.stop.set()
        supervisor.kill.set()

    assert gone(journal.pids("a")[0])


async def test_reload_reaches_the_children_that_can_do_it(
    journal: Journal, environment: dict[str, str]
) -> None:
    able = replace(child(journal, "able", "reloads"), reloads=True)
    async with supervised([[able, child(journal, "other")]], environment) as supervisor:
        await until(lambda: len(journal.lines()) == 2)
        supervisor.reload()
        await until(lambda: "able reloads" in journal.lines())
        assert len(journal.pids("able")) == len(journal.pids("other")) == 1

    assert sorted(journal.lines()) == sorted(
        [f"{name} {what}" for name in ("able", "other") for what in ("started", "stopped")]
        + ["able reloads"]
    )


async def test_child_that_starts_reloads_once_it_is_ready(
    journal: Journal, environment: dict[str, str], tmp_path: Path
) -> None:
    """Before, it would die of the signal: it does not listen yet."""
    leave = tmp_path / "leave"

    async def allowed() -> bool:
        return leave.exists()

    able = Child("able", journal.argv("able", "reloads"), allowed, reloads=True)
    async with supervised([[able]], environment) as supervisor:
        await until(lambda: "able started" in journal.lines())
        supervisor.reload()
        supervisor.reload()
        leave.touch()
        await until(lambda: "able reloads" in journal.lines())

    assert journal.lines() == ["able started", "able reloads", "able stopped"]


async def test_child_that_was_restarted_reloads_only_once_it_is_ready_again(
    journal: Journal, environment: dict[str, str], tmp_path: Path
) -> None:
    killed, leave = asyncio.Event(), tmp_path / "leave"

    async def allowed() -> bool:
        return not killed.is_set() or leave.exists()

    able = Child("able", journal.argv("able", "reloads"), allowed, reloads=True)
    async with supervised([[able]], environment) as supervisor:
        await until(lambda: len(journal.pids("able")) == 1)
        killed.set()
        os.kill(journal.pids("able")[0], signal.SIGKILL)
        await until(lambda: len(journal.pids("able")) == 2)
        supervisor.reload()
        assert "able reloads" not in journal.lines()
        leave.touch()
        await until(lambda: "able reloads" in journal.lines())


async def test_children_have_sessions_of_their_own(
    journal: Journal, environment: dict[str, str]
) -> None:
    """So Ctrl-C reaches the supervisor alone, and the order of stopping is its own."""
    async with supervised([[child(journal, "a")]], environment):
        await until(lambda: "a started" in journal.lines())
        pid = journal.pids("a")[0]
        assert os.getsid(pid) == pid


async def test_children_end_when_their_supervisor_is_killed(
    journal: Journal, environment: dict[str, str]
) -> None:
    program = (HERE / "supervising_program.py", journal.path, HERE / "child_program.py")
    supervising = await asyncio.create_subprocess_exec(sys.executable, *program, env=environment)
    await until(lambda: len(journal.lines()) == 2)
    supervising.kill()
    await supervising.wait()

    await until(lambda: all(gone(journal.pids(name)[0]) for name in "ab"))
    assert sorted(journal.lines()[2:]) == ["a stopped", "b stopped"]
