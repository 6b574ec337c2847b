"""A minute of many streams: the gateway neither grows nor stalls, and no stream is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.analysis import Soak
from bench.lag import Second, read
from bench.processes import ROOT


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_550_streams_for_a_minute(tmp_path: Path) -> None:
    figures = tmp_path / "soak.json"
    command = [sys.executable, "-m", "bench.soak", "--seconds", "60", "--output", str(figures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert figures.exists(), done.stdout + done.stderr
    soak = msgspec.convert(json.loads(figures.read_text()), Soak)
    assert soak.requests > 100
    assert soak.steady, done.stdout
    assert soak.smooth, done.stdout


def test_figures_are_read_from_a_moment_on_and_without_a_torn_line(tmp_path: Path) -> None:
    seconds = [Second(at, 1.0, 1.0, 0, 50.0) for at in (1.0, 2.0, 3.0)]
    lines = b"".join(msgspec.json.encode(second) + b"\n" for second in seconds)
    (tmp_path / "figures").write_bytes(lines + b'{"at": 4')
    assert read(tmp_path / "figures", since=1.5) == seconds[1:]
