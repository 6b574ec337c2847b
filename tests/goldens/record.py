"""Record what coding agents send: runs them against a stub that answers just enough.

    python -m tests.goldens.record --codex PATH --opencode PATH

Each program runs once in an empty home and an empty project; its requests are written to
`codex.json` and `opencode.json` beside this file, without what tells of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.goldens.scrub import scrubbed

FOLDER = Path(__file__).parent
PROJECT = "demo-project"
QUESTION = "Which files are here?"
ANSWER = "There is one file: hello.txt."
_SECONDS = 180
# Of the headers only what tells who asks; the rest is of the connection or a secret.
_CONNECTION = frozenset(
    (
        "host",
        "connection",
        "content-length",
        "accept-encoding",
        "authorization",
        "transfer-encoding",
    )
)


class Recorder:
    """A server that keeps every request and plays a short dialogue."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Keep a request and answer it."""
        body = await request.json() if request.method == "POST" else None
        headers = {k.lower(): v for k, v in request.headers.items() if k.lower() not in _CONNECTION}
        self.requests.append(
            {"method": request.method, "path": request.path, "headers": headers, "body": body}
        )
        if request.path.endswith("/models"):
            return web.json_response(
                {"object": "list", "data": [{"id": "auto", "object": "model"}]}
            )
        events = _responses(body) if request.path.endswith("/responses") else _chat(body)
        reply = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await reply.prepare(request)
        for event in events:
            await reply.write(event)
        return reply


def _responses(body: dict[str, Any]) -> Iterator[bytes]:
    """Think and call a tool; then answer what it returned."""
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    if any(item["type"] == "function_call_output" for item in body["input"]):
        content = [{"type": "output_text", "text": ANSWER, "annotations": []}]
        items = [{"type": "message", "role": "assistant", "id": "msg_1", "content": content}]
    else:
        items = [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2VjcmV0"},
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "call_1",
                "name": "exec_command",
                "arguments": '{"cmd":"ls"}',
            },
        ]
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"id": "resp_1"}},
        *(
            {"type": "response.output_item.done", "output_index": index, "item": item}
            for index, item in enumerate(items)
        ),
        {"type": "response.completed", "response": {"id": "resp_1", "usage": usage}},
    ]
    for event in events:
        yield b"event: %s\ndata: %s\n\n" % (event["type"].encode(), json.dumps(event).encode())


def _chat(body: dict[str, Any]) -> Iterator[bytes]:
    """Give a title where no tools are offered; else call one, and answer what it returned."""
    told = any(message["role"] == "tool" for message in body["messages"])
    if body.get("tools") and not told:
        function = {"name": "bash", "arguments": '{"command":"ls","description":"List files"}'}
        call = {"index": 0, "id": "call_1", "type": "function", "function": function}
        deltas, reason = [{"role": "assistant", "tool_calls": [call]}], "tool_calls"
    else:
        text = ANSWER if told else "Files of the project"
        deltas, reason = [{"role": "assistant", "content": text}], "stop"
    for delta, finish in (*((delta, None) for delta in deltas), ({}, reason)):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "auto"}
        yield b"data: %s\n\n" % json.dumps(chunk | {"choices": [choice]}).encode()
    yield b"data: [DONE]\n\n"


async def record(command: list[str], files: dict[str, str]) -> list[dict[str, Any]]:
    """Run a program in an empty home with `files`; return what it asked.

    In arguments and files `{url}` is the stub's base URL and `{project}` the working folder.
    """
    recorder = Recorder()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", recorder.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            await run_agent(command, files, Path(name), url)
            return scrubbed(recorder.requests, {url: "http://lair/v1", name: "/home/user"})
    finally:
        await runner.cleanup()


async def run_agent(command: list[str], files: dict[str, str], home: Path, url: str) -> str:
    """Run an agent in a project below `home` against `url`; return what it printed."""
    project = home / PROJECT
    project.mkdir(parents=True)
    (project / "hello.txt").write_text("Hello\n", encoding="utf-8")
    places = {"{url}": url, "{project}": str(project)}
    for path, text in files.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(_filled(text, places), encoding="utf-8")
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(_filled(argument, places) for argument in command),
        cwd=project,
        env={**kept, "HOME": str(home), "CODEX_HOME": str(home / ".codex"), "LAIR_KEY": "none"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), _SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
    return output.decode(errors="replace")


def _filled(text: str, places: dict[str, str]) -> str:
    for place, value in places.items():
        text = text.replace(place, value)
    return text


CODEX_FILES = {
    ".codex/config.toml": """\
model = "auto"
model_provider = "lair"

[model_providers.lair]
name = "lair"
base_url = "{url}"
env_key = "LAIR_KEY"
wire_api = "responses"
"""
}
_OPENCODE_CONFIG = {
    "$schema": "https://opencode.ai/config.json",
    "autoupdate": False,
    "share": "disabled",
    "model": "lair/auto",
    "small_model": "lair/auto",
    "provider": {
        "lair": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "lair",
            "options": {"baseURL": "{url}", "apiKey": "none"},
            "models": {"auto": {"name": "auto"}},
        }
    },
}
OPENCODE_FILES = {f"{PROJECT}/opencode.json": json.dumps(_OPENCODE_CONFIG)}


def codex(program: str) -> list[str]:
    """Return the command that asks Codex once."""
    return [program, "exec", "--skip-git-repo-check", QUESTION]


def opencode(program: str) -> list[str]:
    """Return the command that asks opencode once."""
    return [program, "run", QUESTION]


def main() -> None:
    parser = argparse.ArgumentParser(description="Record what coding agents send.")
    parser.add_argument("--codex", help="path of the program")
    parser.add_argument("--opencode", help="path of the program")
    args = parser.parse_args()
    for name, command, files in (
        ("codex", args.codex and codex(args.codex), CODEX_FILES),
        ("opencode", args.opencode and opencode(args.opencode), OPENCODE_FILES),
    ):
        if command:
            requests = asyncio.run(record(command, files))
            text = json.dumps(requests, indent=1, ensure_ascii=False) + "\n"
            (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")
            sys.stdout.write(f"{name}: {len(requests)} requests, {len(text)} bytes\n")


if __name__ == "__main__":
    main()
