"""A real `lair up` with a genuine llama.cpp server behind it, on free ports."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "tests" / "fixtures" / "tiny-chat"
BOOT_SECONDS = 60.0


def free_ports(count: int) -> int:
    """Return the first of `count` consecutive free ports."""
    while True:
        with ExitStack() as held:
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            base: int = first.getsockname()[1]
            try:
                for port in range(base + 1, base + count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                continue
            return base


def eventually(check: Callable[[], Any], *, seconds: float = 10.0, what: str = "") -> Any:
    """Return the first truthy result of `check`; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come true within {seconds} s: {what or check}")
        time.sleep(0.05)


@contextmanager
def llama_server(kind: str = "chat") -> Iterator[str]:
    """Serve the tiny model by genuine llama.cpp, for `chat` or `embed`; yield its base URL."""
    port = free_ports(1)
    script = str(TINY / "llama_server.py")
    process = subprocess.Popen(
        [sys.executable, script, str(port), kind],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: get(f"{url}/health")[0] == 200, seconds=30, what="llama.cpp is ready")
        yield f"{url}/v1"
    finally:
        process.kill()
        process.wait()


def get(url: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """GET a URL; return its status (0 if nobody listens) and its JSON."""
    return request("GET", url, headers=headers)


def request(
    method: str, url: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Send a request; return its status (0 if nobody listens) and its JSON or text."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    all_headers = {"content-type": "application/json", **(headers or {})}
    call = urllib.request.Request(url, data=data, headers=all_headers, method=method)
    try:
        with urllib.request.urlopen(call, timeout=30) as reply:
            return reply.status, _parsed(reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _parsed(error.read())
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return 0, None


def _parsed(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "replace")


class Lair:
    """A running `lair up`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = log

    def get(self, path: str, **headers: str) -> Any:
        """GET a path that must answer 200; return its JSON."""
        status, body = get(self.url + path, {k.replace("_", "-"): v for k, v in headers.items()})
        assert status == 200, (path, status, body)
        return body

    def chat(self, text: str, model: str = "auto", **headers: str) -> Any:
        """Send one message, which must be answered; return the reply's JSON."""
        body = {
            "model": model,
            "temperature": 0,
            "messages": [{"role": "user", "content": text}],
        }
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        status, reply = request("POST", f"{self.url}/v1/chat/completions", body, named)
        assert status == 200, (status, reply)
        return reply

    def child(self, service: str) -> psutil.Process:
        """Return the process of a service; wait until there is one."""

        def find() -> psutil.Process | None:
            for child in psutil.Process(self.process.pid).children():
                try:
                    if service in child.cmdline():
                        return child
                except (psutil.NoSuchProcess, psutil.ZombieProcess):
                    continue
            return None

        found: psutil.Process = eventually(find, what=f"a process of {service}")
        return found

    def terminate(self, seconds: float = 40.0) -> int:
        """Send SIGTERM; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds)

    def output(self) -> str:
        """Return what the processes wrote so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")


def lair_environment(**settings: str) -> dict[str, str]:
    """Return this environment with `settings`, and without a user's own of lair."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("LAIR_")}
    path = os.pathsep.join((str(ROOT), str(ROOT / "gen")))
    return {**inherited, "PYTHONPATH": path, "LAIR_ROUTER__DISCOVER": "false", **settings}


@contextmanager
def lair_up(
    folder: Path,
    *options: str,
    backends: Mapping[str, str | dict[str, Any]] | None = None,
    port: int | None = None,
    **settings: str,
) -> Iterator[Lair]:
    """Start `lair up` with its data in `folder`; stop it at the end.

    A backend is its URL, or its table of the settings.
    """
    port = port or free_ports(5)
    tables = [
        {"name": name, **(table if isinstance(table, dict) else {"url": table})}
        for name, table in (backends or {}).items()
    ]
    environment = lair_environment(
        LAIR_BACKENDS=json.dumps(tables), **{"LAIR_MEMORY__INDEX": "false", **settings}
    )
    folder.mkdir(exist_ok=True)
    log = folder / "lair.log"
    command = [sys.executable, "-m", "launcher", "up", "--port", str(port)]
    command += ["--data-dir", str(folder / "data"), *options]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output
        )
    lair = Lair(process, port, log)
    try:
        eventually(
            lambda: process.poll() is not None or get(f"{lair.url}/health")[0] == 200,
            seconds=BOOT_SECONDS,
            what=f"lair answers\n{lair.output()}",
        )
        assert process.poll() is None, lair.output()
        yield lair
    finally:
        if process.poll() is None:
            lair.terminate()
        assert "Traceback" not in lair.output(), lair.output()
