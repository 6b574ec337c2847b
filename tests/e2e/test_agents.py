"""Real coding agents before a real `lair up`: they work, and lair knows who they are.

Skipped where they are not installed: `codex` and `opencode` on the PATH, or in the folder
that LAIR_TEST_AGENTS names.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import Lair, eventually, lair_up
from tests.fakes.answers import DONE, Answer, chunk, stream, streamed
from tests.fakes.openai_server import OpenAIServer
from tests.goldens import record
from tests.router.streams import choice

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

LISTING = {
    "exec_command": '{"cmd":"ls"}',
    "bash": '{"command":"ls","description":"List files"}',
}


def program(name: str) -> str:
    """Return the path of an agent; skip the test where there is none."""
    found = shutil.which(name, path=os.environ.get("LAIR_TEST_AGENTS")) or shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def model(body: dict[str, Any]) -> Answer:
    """Play a model that lists the files, then answers what it saw."""
    if body["messages"][-1]["role"] == "tool":
        seen = "hello.txt" in str(body["messages"][-1]["content"])
        return streamed(record.ANSWER if seen else "There is none.")
    offered = {tool["function"]["name"] for tool in body.get("tools", ())} & LISTING.keys()
    if not offered:
        return streamed("Files of the project")
    name = offered.pop()
    function = {"name": name, "arguments": LISTING[name]}
    call = {"index": 0, "id": "call_1", "type": "function", "function": function}
    return stream(choice({"tool_calls": [call]}), chunk(finish="tool_calls"), DONE)


@asynccontextmanager
async def lair_before_the_model(folder: Path) -> AsyncIterator[Lair]:
    """Start lair before a played model; stop both at the end."""
    async with OpenAIServer("tiny") as server:
        server.script(model)
        running = lair_up(folder, backends={"played": server.url})
        lair = await asyncio.to_thread(running.__enter__)
        try:
            yield lair
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


async def recent(lair: Lair, count: int) -> list[dict[str, Any]]:
    """Return what was counted, once it is `count` requests."""

    def read() -> Any:
        requests = lair.get("/metrics/recent")["requests"]
        return requests if len(requests) >= count else None

    found: list[dict[str, Any]] = await asyncio.to_thread(eventually, read)
    return found


async def run(command: list[str], files: dict[str, str], home: Path, lair: Lair) -> str:
    return await record.run_agent(command, files, home, f"{lair.url}/v1")


async def test_codex_runs_a_command_and_answers(tmp_path: Path) -> None:
    command = record.codex(program("codex"))
    async with lair_before_the_model(tmp_path / "lair") as lair:
        output = await run(command, record.CODEX_FILES, tmp_path / "home", lair)
        requests = await recent(lair, 2)
    assert record.ANSWER in output, output
    assert {request["client"].partition("/")[0] for request in requests} == {"codex"}
    assert {request["project"] for request in requests} == {record.PROJECT}
    sessions = {request["session_id"] for request in requests}
    assert len(sessions) == 1
    assert sessions.pop() in output


async def test_opencode_runs_a_command_and_answers(tmp_path: Path) -> None:
    command = record.opencode(program("opencode"))
    async with lair_before_the_model(tmp_path / "lair") as lair:
        output = await run(command, record.OPENCODE_FILES, tmp_path / "home", lair)
        requests = await recent(lair, 3)
    assert record.ANSWER in output, output
    assert {request["client"].partition("/")[0] for request in requests} == {"opencode"}
    assert record.PROJECT in {request["project"] for request in requests}
    sessions = {request["session_id"] for request in requests}
    assert len(sessions) == 1
    assert sessions.pop().startswith("ses_")
