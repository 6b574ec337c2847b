"""The built-in llama.cpp server: a genuine one, in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from launcher.probes import answers_http
from svckit.lifecycle import SUPERVISED_VARIABLE
from tests.launcher.support import GGUF, until

WITHOUT_WHEEL = (
    "import sys; sys.modules['xllamacpp'] = None; from launcher.cli import main; main(['llamacpp'])"
)


@asynccontextmanager
async def started(
    environment: dict[str, str], port: int, gguf: Path, *command: str
) -> AsyncIterator[Process]:
    """Start the server as the supervisor does."""
    variables = {
        **environment,
        SUPERVISED_VARIABLE: "1",
        "LAIR_LLAMACPP__GGUF": str(gguf),
        "LAIR_LLAMACPP__PORT": str(port),
        "LAIR_LLAMACPP__CONTEXT": "1024",
        "LAIR_LLAMACPP__THREADS": "1",
    }
    command = command or ("-m", "launcher", "llamacpp")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=variables, stdin=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def serving(environment: dict[str, str], port: int) -> AsyncIterator[Process]:
    """Start the server and wait until it has loaded the tiny model."""
    ready = answers_http(f"http://127.0.0.1:{port}/health")
    async with started(environment, port, GGUF) as process, asyncio.timeout(30):
        while not await ready():  # noqa: ASYNC110  # another process sets no event of ours
            await asyncio.sleep(0.05)
        yield process


async def refusal(process: Process) -> tuple[int, list[str]]:
    """Return exit code and the lines that are lair's own."""
    _, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, [
        line for line in err.decode().splitlines() if line.startswith("lair: ")
    ]


async def post(url: str, body: dict[str, Any]) -> Any:
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as reply:
        return await reply.json()


async def test_it_answers_as_the_model_of_the_file(environment: dict[str, str], port: int) -> None:
    async with serving(environment, port):
        answer = await post(
            f"http://127.0.0.1:{port}/v1/chat/completions",
            {"messages": [{"role": "user", "content": "Say hello"}], "temperature": 0},
        )

    assert answer["choices"][0]["message"]["content"] == "Hello from the tiny model."
    assert answer["model"] == "tiny-chat"


async def test_context_is_for_each_parallel_request(environment: dict[str, str], port: int) -> None:
    async with serving(environment, port):
        url = f"http://127.0.0.1:{port}/slots"
        async with aiohttp.ClientSession() as session, session.get(url) as reply:
            slots = await reply.json()

    assert [slot["n_ctx"] for slot in slots] == [1024, 1024]


async def test_sigterm_ends_it_cleanly(environment: dict[str, str], port: int) -> None:
    async with serving(environment, port) as process:
        # llama.cpp answers from a thread of its own, perhaps before Python listens to signals.
        await until(lambda: _catches(process.pid, signal.SIGTERM))
        process.send_signal(signal.SIGTERM)
        await process.communicate()

    assert process.returncode == os.EX_OK


def _catches(pid: int, number: signal.Signals) -> bool:
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return bool(int(status["SigCgt"], 16) >> (number - 1) & 1)


async def test_it_ends_when_its_supervisor_is_gone(environment: dict[str, str], port: int) -> None:
    async with serving(environment, port) as process:
        assert process.stdin
        process.stdin.close()
        await process.wait()

    assert process.returncode == os.EX_OK


async def test_missing_file_is_one_line(
    environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    async with started(environment, port, tmp_path / "none.gguf") as process:
        code, lines = await refusal(process)

    assert code == 78
    assert len(lines) == 1
    assert "none.gguf: no such file" in lines[0]


async def test_file_that_is_no_model_is_one_line(
    environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    (tmp_path / "bad.gguf").write_text("not a model")
    async with started(environment, port, tmp_path / "bad.gguf") as process:
        code, lines = await refusal(process)

    assert code == 78
    assert len(lines) == 1
    assert "bad.gguf: llama.cpp cannot load it" in lines[0]


async def test_missing_wheel_is_one_line_that_tells_how_to_get_it(
    environment: dict[str, str], port: int
) -> None:
    async with started(environment, port, GGUF, "-c", WITHOUT_WHEEL) as process:
        code, lines = await refusal(process)

    assert code == 78
    assert len(lines) == 1
    assert "pip install 'local-ai-router[llamacpp]'" in lines[0]


async def test_port_in_use_is_one_line(environment: dict[str, str], port: int) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    async with server, started(environment, port, GGUF) as process:
        code, lines = await refusal(process)

    assert code == 78
    assert len(lines) == 1
    assert "Address already in use" in lines[0]
