"""How commands end when something is wrong."""

from __future__ import annotations

import pytest

from launcher.exits import CommandFailedError, RefusedError, readable
from launcher.supervisor import ChildRefusedError
from svckit.config import ConfigError
from svckit.grpc_server import ServeError
from svckit.sqlite import StorageError

REFUSALS = [ConfigError, ServeError, StorageError, RefusedError, ChildRefusedError]


def fail(error: Exception) -> int | str | None:
    """Raise `error` where a command would; return the exit code."""
    with pytest.raises(SystemExit) as ending, readable():
        raise error
    return ending.value.code


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_a_person_must_change_is_lines_and_78(
    kind: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail(kind("first\nsecond")) == 78
    assert capsys.readouterr().err == "lair: first\nlair: second\n"


def test_what_a_command_did_not_get_is_a_line_and_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(CommandFailedError("no such model")) == 1
    assert capsys.readouterr().err == "lair: no such model\n"


def test_groups_of_task_groups_are_unfolded(capsys: pytest.CaptureFixture[str]) -> None:
    inner = ExceptionGroup("", [ServeError("port"), ServeError("port")])

    assert fail(ExceptionGroup("", [inner, StorageError("disk")])) == 78
    assert capsys.readouterr().err == "lair: port\nlair: disk\n"


@pytest.mark.parametrize(
    "fault", [KeyError("ours"), ExceptionGroup("", [ServeError("port"), KeyError("ours")])]
)
def test_faults_of_ours_keep_their_traceback(fault: Exception) -> None:
    with pytest.raises(type(fault)), readable():
        raise fault
