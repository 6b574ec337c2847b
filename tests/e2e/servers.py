"""Genuine llama.cpp servers that a test may stop, kill and start again, and their own logs."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.e2e.stack import TINY, eventually, free_ports, get

_ANSWERED = "|       total time ="  # llama.cpp's line for each answer it brought to its end


class LlamaServer:
    """A server of the tiny model on a port of its own, while it is entered."""

    def __init__(self, log: Path) -> None:
        self.port = free_ports(1)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The base URL, `/v1` included."""
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, str(TINY / "llama_server.py"), str(self.port)]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        health = f"http://127.0.0.1:{self.port}/health"
        eventually(lambda: get(health)[0] == 200, seconds=30, what="llama.cpp is ready")

    def freeze(self) -> None:
        """Stop it where it is: it still takes connections, and says nothing."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End it at once, frozen or not."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def answer_count(self) -> int:
        """Count the answers that it brought to their end, by its own log."""
        return self._log.read_text("utf-8", "replace").count(_ANSWERED)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
