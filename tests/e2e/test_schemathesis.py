"""schemathesis against a real lair: no failure of ours, and no answer but as /openapi.json says.

A few examples of each operation, always the same ones. For many more, the edges of every
schema, and sequences of calls, a quarter of an hour:

    LAIR_FUZZ_EXAMPLES=300 python -m pytest tests/e2e/test_schemathesis.py
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.crowd import aside
from tests.e2e.stack import Lair, lair_up
from tests.fakes.answers import Answer, greeting, reply, usage_of
from tests.fakes.openai_server import OpenAIServer

LONG = int(os.environ.get("LAIR_FUZZ_EXAMPLES", "0"))
EXAMPLES = LONG or 6
PHASES = "examples,coverage,fuzzing,stateful" if LONG else "examples,fuzzing"
SECONDS = 3600 if LONG else 240
CHECKS = (
    "not_a_server_error",
    "response_schema_conformance",
    "content_type_conformance",
    "status_code_conformance",
)
# Without it schemathesis learns from replies what to ask next: it finds more, but never asks
# the same twice, and hypothesis says so now and then.
REPEATABLE = """
[phases.fuzzing]
error-feedback.enabled = false
extra-data-sources.responses = false
"""
# After it no backend is left to ask, so it comes last.
SWITCH = "/gaming-mode"
ENDLESS = "/metrics/live"


def answer(body: dict[str, Any]) -> Answer:
    """Answer whatever a model can be asked for."""
    if "input" in body:
        several = isinstance(body["input"], list) and not isinstance(body["input"][0], int)
        count = len(body["input"]) if several else 1
        vectors = [{"index": place, "embedding": [0.5, -1.0]} for place in range(count)]
        return reply({"object": "list", "data": vectors, "usage": usage_of(1, 0)})
    if "prompt" in body and not body.get("stream"):
        choice = {"index": 0, "text": "and so on", "finish_reason": "stop", "logprobs": None}
        return reply({"id": "cmpl-1", "created": 1, "choices": [choice], "usage": usage_of(1, 3)})
    return greeting(body)


@pytest.fixture
async def lair(tmp_path: Path) -> AsyncIterator[Lair]:
    async with OpenAIServer("tiny", "nomic-embed-text") as server:
        server.script(answer)
        async with aside(lair_up(tmp_path, backends={"tiny": server.url})) as running:
            yield running


async def search_faults(lair: Lair, *options: str) -> None:
    """Let schemathesis ask; fail with all that it says of what it found."""
    config = lair.log.with_name("schemathesis.toml")
    config.write_text("" if LONG else REPEATABLE)
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        *("--config-file", config),
        *("run", f"{lair.url}/openapi.json", "--checks", ",".join(CHECKS)),
        *("--phases", PHASES, "--max-examples", str(EXAMPLES), "--generation-deterministic"),
        *("--continue-on-failure", "--no-shrink", "--request-timeout", "20", "--workers", "2"),
        *("--suppress-health-check", "all", "--warnings", "off", "--no-color", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=lair.log.parent,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        pytest.fail(output.decode(), pytrace=False)


@pytest.mark.timeout(SECONDS)
async def test_schemathesis_finds_no_fault(lair: Lair):
    await search_faults(lair, "--exclude-path", SWITCH, "--exclude-path", ENDLESS)
    await search_faults(lair, "--include-path", SWITCH)
