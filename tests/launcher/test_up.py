"""`lair up`, with real services in real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from aiohttp import web

from launcher.probes import serves_grpc
from tests.launcher.support import GGUF, gone, until

pytestmark = pytest.mark.e2e

LAYOUTS = {
    (): {"edge", "memory", "metrics"},
    ("--separate",): {"gateway", "router", "memory", "metrics"},
    ("--single-process",): set(),
}

QUIET = {"LAIR_ROUTER__DISCOVER": "false", "LAIR_MEMORY__INDEX": "false"}


@asynccontextmanager
async def up(
    environment: dict[str, str], port: int, data_dir: Path, *options: str, **variables: str
) -> AsyncIterator[Process]:
    """Run `lair up`; kill what is left of it at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "launcher", "up"),
        *("--port", str(port), "--data-dir", str(data_dir), *options),
        env={**environment, **QUIET, **variables},
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()  # its children end by themselves
            await process.communicate()


@asynccontextmanager
async def endless_backend() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Serve a model that never answers; yield its URL, and what tells that it was asked."""
    asked = asyncio.Event()

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "slow", "object": "model"}]})

    async def chat(_: web.Request) -> web.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    app = web.Application()
    app.add_routes([web.get("/v1/models", models), web.post("/v1/chat/completions", chat)])
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1", asked
    finally:
        await runner.cleanup()


async def screen_of(process: Process) -> str:
    """Wait for the one screen and return it."""
    assert process.stdout
    text = await asyncio.wait_for(process.stdout.readuntil(b"Ctrl-C"), 60)
    return text.decode()


async def health(port: int) -> Any:
    url = f"http://127.0.0.1:{port}/health"
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        return await reply.json()


async def providers(port: int) -> set[str]:
    """Return the names of the backends."""
    url = f"http://127.0.0.1:{port}/providers"
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        return {provider["name"] for provider in (await reply.json())["providers"]}


def backend_toml(name: str) -> str:
    """Configure a backend that nobody serves."""
    return f'[[backends]]\nname = "{name}"\nurl = "http://127.0.0.1:9/v1"\n'


async def lair(environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Run a command; return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "launcher", *arguments), env=environment, stdout=PIPE, stderr=PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, (out + err).decode()


async def ask_slowly(port: int) -> str:
    """Ask what takes for ever; tell how it ended."""
    body = {"model": "slow", "messages": [{"role": "user", "content": "hi"}]}
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    try:
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as reply:
            return await reply.text()
    except aiohttp.ClientError:
        return "cut off"


def children(process: Process) -> dict[str, int]:
    """Return the process id of each child by the service it runs."""
    found = {}
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.Error):  # it ended while we looked
            if arguments := child.cmdline():
                found[arguments[-1]] = child.pid
    return found


async def end(process: Process) -> tuple[int, str]:
    """Ask `lair up` to end; return its exit code and what it logged."""
    process.send_signal(signal.SIGTERM)
    return await ending(process)


async def ending(process: Process) -> tuple[int, str]:
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, err.decode()


@pytest.mark.parametrize("options", LAYOUTS)
async def test_every_layout_serves_http_and_grpc_and_ends_in_order(
    options: tuple[str, ...], environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    async with up(environment, port, tmp_path / "data", *options) as process:
        screen = await screen_of(process)
        running = children(process)
        report = await health(port)
        serving = [await serves_grpc(f"127.0.0.1:{port + offset}")() for offset in (1, 2, 3)]
        code, log = await end(process)

    assert f"http://127.0.0.1:{port}/v1" in screen
    assert set(running) == LAYOUTS[options]
    assert {service["status"] for service in report["services"].values()} == {"up"}
    assert serving == [True, True, True]
    assert code == 0
    assert "Traceback" not in log
    assert all(gone(pid) for pid in running.values())


@pytest.mark.parametrize("options", [(), ("--single-process",)])
async def test_gguf_model_is_served_as_a_backend(
    options: tuple[str, ...], environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    options = ("--gguf", str(GGUF), *options)
    async with up(environment, port, tmp_path / "data", *options) as process:
        screen = await screen_of(process)
        running = children(process)
        code, _ = await end(process)

    assert f"llamacpp  http://127.0.0.1:{port + 4}/v1  tiny-chat" in screen
    assert "llamacpp" in running
    assert code == 0


async def test_killed_service_comes_back(
    environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    async with up(environment, port, tmp_path / "data") as process:
        await screen_of(process)
        first = children(process)["metrics"]
        os.kill(first, signal.SIGKILL)
        await until(lambda: children(process).get("metrics", first) != first)
        serves = serves_grpc(f"127.0.0.1:{port + 3}")
        async with asyncio.timeout(30):
            while not await serves():  # noqa: ASYNC110  # another process sets no event of ours
                await asyncio.sleep(0.05)
        code, log = await end(process)

    assert code == 0
    assert log.count("starting it again") == 1


@pytest.mark.parametrize(("options", "expected"), [((), 0), (("--single-process",), -15)])
async def test_second_signal_does_not_wait_for_requests(
    options: tuple[str, ...],
    expected: int,
    environment: dict[str, str],
    port: int,
    tmp_path: Path,
) -> None:
    async with endless_backend() as (url, asked):
        backends = json.dumps([{"name": "slow", "url": url}])
        data = tmp_path / "data"
        async with up(environment, port, data, *options, LAIR_BACKENDS=backends) as process:
            await screen_of(process)
            question = asyncio.create_task(ask_slowly(port))
            await asyncio.wait_for(asked.wait(), 10)
            process.send_signal(signal.SIGTERM)
            assert process.stderr
            await asyncio.wait_for(process.stderr.readuntil(b"stopping"), 10)
            assert not question.done()
            code, _ = await end(process)
            assert await question == "cut off"

    assert code == expected


async def test_services_end_when_lair_up_is_killed(
    environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    async with up(environment, port, tmp_path / "data") as process:
        await screen_of(process)
        running = children(process)
        process.kill()
        await ending(process)

    await until(lambda: all(gone(pid) for pid in running.values()))


@pytest.mark.parametrize("options", LAYOUTS)
async def test_hangup_and_lair_reload_read_the_same_file_again(
    options: tuple[str, ...], environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    config = tmp_path / "house.toml"
    config.write_text(backend_toml("one"))
    options = ("--config", str(config), *options)
    async with up(environment, port, tmp_path / "data", *options) as process:
        await screen_of(process)
        running = children(process)
        config.write_text(backend_toml("one") + backend_toml("two"))
        process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(30):
            while "two" not in await providers(port):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.05)
        config.write_text(backend_toml("two"))
        code, out = await lair(environment, "reload", "--port", str(port))
        left = await providers(port)
        config.write_text("[[backends]]\nnmae = 'three'\n")
        refused, complaint = await lair(environment, "reload", "--port", str(port))
        still, still_running = await providers(port), children(process)
        await end(process)

    assert (code, out) == (0, "removed  one\n")
    assert "one" not in left
    assert refused == 1
    assert "unknown key 'backends.0.nmae'" in complaint
    assert (still, still_running) == (left, running)


@pytest.mark.parametrize("options", LAYOUTS)
async def test_port_in_use_is_one_line_and_78(
    options: tuple[str, ...], environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", port + 1)):
        async with up(environment, port, tmp_path / "data", *options) as process:
            code, err = await ending(process)

    assert code == 78
    assert len(err.splitlines()) == 1
    assert f"router: cannot listen on 127.0.0.1:{port + 1}: Address already in use" in err


async def test_data_directory_that_cannot_be_made_is_one_line_and_78(
    environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    async with up(environment, port, tmp_path / "file" / "data") as process:
        code, err = await ending(process)

    assert code == 78
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("options", LAYOUTS)
async def test_service_that_refuses_to_start_ends_lair_up_with_its_line_and_78(
    options: tuple[str, ...], environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    (tmp_path / "directory").mkdir()
    unusable = {"LAIR_METRICS__DATABASE": str(tmp_path / "directory")}
    async with up(environment, port, tmp_path / "data", *options, **unusable) as process:
        code, err = await ending(process)

    assert code == 78
    assert "Traceback" not in err
    assert any(
        line.startswith("lair: ") and str(tmp_path / "directory") in line
        for line in err.splitlines()
    )


async def test_model_that_is_not_there_ends_lair_up_with_78(
    environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    options = ("--single-process", "--gguf", str(tmp_path / "none.gguf"))
    async with up(environment, port, tmp_path / "data", *options) as process:
        code, err = await ending(process)

    assert code == 78
    assert "none.gguf: no such file" in err
    assert "Traceback" not in err


async def test_layouts_exclude_each_other(
    environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    options = ("--separate", "--single-process")
    async with up(environment, port, tmp_path / "data", *options) as process:
        code, err = await ending(process)

    assert code == 2
    assert "exclude each other" in err
