"""One client's run: its script against lair through a recorder, and what came of it."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.compat.judging import Verdict, verdict_on
from tests.compat.recorder import Recorder, entered
from tests.compat.roster import Client
from tests.compat.world import MODELS
from tests.e2e.stack import Lair

_SECONDS = 240
# No client may fetch anything: what tries meets a proxy that is not there.
_NOWHERE = "http://127.0.0.1:9"
_OFFLINE = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _NOWHERE),
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), _NOWHERE),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "TRANSFORMERS_OFFLINE": "1",
}


@dataclass(frozen=True, slots=True)
class Case:
    """What was tried, on which backend, and how it failed; empty if it did not."""

    what: str
    backend: str
    error: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a client's run."""

    client: Client
    cases: list[Case]
    verdict: Verdict
    # What it wrote where it ended badly; empty if it did not.
    trouble: str

    @property
    def failures(self) -> list[str]:
        """What failed, with all that is known about it."""
        failed = [f"{case.what}\n{case.error}" for case in self.cases if case.error]
        return [*failed, *([self.trouble] if self.trouble else [])]


def run(client: Client, lair: Lair, home: Path) -> Outcome:
    """Run a client's cases, with `home` for what it may keep."""
    recorder = Recorder(lair.url)
    with entered(recorder):
        done = subprocess.run(
            client.command,
            cwd=client.folder,
            env=_environment(recorder.url, home),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    cases = [
        Case(told["what"], told["backend"], told["error"])
        for told in map(json.loads, _json_lines(done.stdout))
    ]
    failed = any(case.error for case in cases)
    well = cases and (done.returncode == 0 or failed)  # a suite that fails says so twice
    trouble = "" if well else f"exit {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return Outcome(client, cases, verdict_on(recorder.exchanges), trouble)


def _environment(url: str, home: Path) -> dict[str, str]:
    inherited = {
        name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ
    }
    own = {"COMPAT_URL": url, "HOME": str(home), "PYTHONPATH": "."}
    return {**inherited, **_OFFLINE, **MODELS, **own}


def _json_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith('{"what"')]
