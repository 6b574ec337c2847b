"""Ports, environments and journals for the launcher's tests."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.cli import main
from tests.launcher.scripted_gateway import ScriptedGateway, scripted_gateway
from tests.launcher.support import ROOT, Ended, Journal, Lair


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment of a process that may run from anywhere, without settings of ours."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LAIR_")}
    return {**kept, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'gen'}"}


@pytest.fixture
def port() -> int:
    """A port that is free, as are the four after it."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first = int(probe.getsockname()[1])
        if first + 4 <= 65535 and all(_free(first + offset) for offset in range(5)):
            return first


def _free(number: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with scripted_gateway() as gateway:
        yield gateway


@pytest.fixture
def lair(
    gateway: ScriptedGateway,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Lair:
    """Runs the command, with the scripted gateway where lair's would be."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAIR_GATEWAY__PORT", str(gateway.port))
    monkeypatch.setenv("LAIR_DATA_DIR", str(tmp_path / "data"))

    def run(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as ending:
            main(arguments)
        captured = capsys.readouterr()
        return Ended(int(ending.value.code or 0), captured.out, captured.err)

    return run
