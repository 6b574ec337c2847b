"""Start and stop the processes that are measured, each on free loopback ports."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.load import PATH

ROOT = Path(__file__).parent.parent
START_SECONDS = 60.0
STOP_SECONDS = 15.0
# lair takes its port and the four after it.
PORTS_IN_A_ROW = 5
OUTPUT = "output.log"


class NotStarted(Exception):  # noqa: N818  # an outcome that the report shows, not a fault of ours
    """A system does not run; the message says why, in one line without paths."""


@dataclass(frozen=True, slots=True)
class System:
    """Something that answers chats in front of the stub.

    `command` makes the program's arguments from its port and the stub's URL;
    `environment` is added to ours, without our own `LAIR_*` settings.
    """

    name: str
    title: str
    command: Callable[[int, str], list[str]]
    environment: Callable[[Path, str], Mapping[str, str]] = field(default=lambda _folder, _url: {})


def _bare(*flags: str) -> Callable[[int, str], list[str]]:
    def command(port: int, stub: str) -> list[str]:
        return ["-m", "bench.bare", "--port", str(port), "--upstream", stub, *flags]

    return command


def _lair(*flags: str) -> Callable[[int, str], list[str]]:
    return lambda port, _stub: ["-m", "launcher", "up", "--port", str(port), *flags]


def _lair_environment(folder: Path, stub: str) -> Mapping[str, str]:
    """Leave the request path as users have it; find and embed nothing."""
    return {
        "LAIR_DATA_DIR": str(folder),
        "LAIR_BACKENDS": json.dumps([{"name": "stub", "url": stub}]),
        "LAIR_ROUTER__DISCOVER": "false",
        "LAIR_MEMORY__INDEX": "false",
    }


def quiet_lair_environment(folder: Path, stub: str) -> Mapping[str, str]:
    return {**_lair_environment(folder, stub), "LAIR_LOG_LEVEL": "warning"}


SYSTEMS = (
    System("bytes", "bytes passed unread, one process", _bare("--bytes", "--tuned")),
    System("bare", "bare prototype, one process", _bare()),
    System("bare_hop", "bare prototype with the hop", _bare("--hop")),
    System("tuned", "tuned prototype, one process", _bare("--tuned")),
    System("tuned_hop", "tuned prototype with the hop", _bare("--hop", "--tuned")),
    System("lair", "`lair up`", _lair(), quiet_lair_environment),
    System("lair_separate", "`lair up --separate`", _lair("--separate"), quiet_lair_environment),
    System("lair_logging", "`lair up`, default logging", _lair(), _lair_environment),
)


@contextmanager
def stub_server() -> Iterator[int]:
    """Run the stub model server; yield its port."""
    stub = System("stub", "stub", lambda port, _: ["-m", "bench.stub_upstream", f"--port={port}"])
    with running(stub, "") as port:
        yield port


@contextmanager
def running(system: System, upstream: str) -> Iterator[int]:
    """Run `system` in front of the base URL `upstream`; yield its port once it answers chats.

    Raises `NotStarted`.
    """
    port = free_ports(PORTS_IN_A_ROW)
    # A process that ends late may still write into its folder.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        environment = system.environment(folder / "data", upstream)
        with program(system.command(port, upstream), environment, folder) as process:
            _wait_for_answer(process, port, folder)
            yield port


def free_ports(count: int) -> int:
    """Return the first of `count` adjacent free ports, below those the kernel hands out."""
    while True:
        first = random.randrange(20_000, 32_000 - count)
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first


@contextmanager
def program(
    arguments: list[str], environment: Mapping[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python program and whatever it starts; at the end stop them all.

    It writes its output to `folder` and works there, out of reach of a `lair.toml`.
    """
    ours = {key: value for key, value in os.environ.items() if not key.startswith("LAIR_")}
    path = os.pathsep.join([str(ROOT), str(ROOT / "gen")])
    with (folder / OUTPUT).open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**ours, "PYTHONPATH": path, **environment},
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end; then end what is left of its group."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _wait_for_answer(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    """Return when a chat was answered: only then is every part of the system up."""
    deadline = time.monotonic() + START_SECONDS
    seen = "it did not answer"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotStarted(f"it ended with {process.returncode}; {_last_words(folder)}")
        try:
            status, seen = _ask(port)
        except (OSError, http.client.HTTPException):
            status = 0
        if status == http.HTTPStatus.OK:
            return
        time.sleep(0.1)
    reason = f"no chat was answered within {START_SECONDS:.0f} s ({without_paths(seen)})"
    raise NotStarted(f"{reason}; {_last_words(folder)}")


def _ask(port: int) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        body = json.dumps({"model": "stub", "messages": [{"role": "user", "content": "Ready?"}]})
        connection.request("POST", PATH, body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        return reply.status, f"HTTP {reply.status} {reply.read(200).decode(errors='replace')}"
    finally:
        connection.close()


def _last_words(folder: Path) -> str:
    """Quote the last exception it wrote, else its last line."""
    lines = (folder / OUTPUT).read_text(errors="replace").strip().splitlines()
    errors = [line for line in lines if re.match(r"[\w.]+Error: ", line)]
    said = (errors or lines)[-1:]
    return f"it wrote: {without_paths(said[0])}" if said else "it wrote nothing"


def without_paths(text: str) -> str:
    """Cut the folders off absolute paths: results are published."""
    return re.sub(r"(?<![\w:/])/(?:[^\s/'\"]+/)+", "", text)
