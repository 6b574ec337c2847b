"""A large history streams: what `lair import` takes of memory does not follow its size.

`LAIR_IMPORT_MB=100` tries a larger one.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import free_ports
from tests.launcher.importing import services

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

MEGABYTES = int(os.environ.get("LAIR_IMPORT_MB", "12"))
MOST_RSS = 160 * 1024  # KiB
# A process begins with the size of the one that forked it: here a small one.
MEASURED = """
import pathlib, resource, subprocess, sys
code = subprocess.run(sys.argv[2:]).returncode
pathlib.Path(sys.argv[1]).write_text(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""
WORDS = [f"w{n:04x}" for n in range(5000)]


def test_a_large_export_streams_with_a_progress_bar(tmp_path: Path) -> None:
    path = tmp_path / "conversations.json"
    conversations = write_export(path, MEGABYTES * 1024**2)
    with services(tmp_path, free_ports(5)) as running:
        command = [sys.executable, "-m", "launcher", "import", "chatgpt", str(path)]
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, str(tmp_path / "rss"), *command],
            env=running.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        said, shown = done.stdout, done.stderr
        assert done.returncode == 0, shown
        most_rss = int((tmp_path / "rss").read_text())
        report = f"{MEGABYTES} MB: {most_rss // 1024} MiB, {time.monotonic() - began:.0f} s"
        (tmp_path / "report").write_text(report)
        assert f"{conversations:,}" in said
        assert "100%" in shown
        assert most_rss < MOST_RSS
        assert len(running.conversations("local")) == min(conversations, 500)


def write_export(path: Path, size: int) -> int:
    """Write an export of ChatGPT of about `size` bytes; return how many conversations it has."""
    chance, count = random.Random(5), 0
    with path.open("w") as file:
        file.write("[")
        while file.tell() < size:
            file.write(("," if count else "") + json.dumps(_conversation(count, chance)))
            count += 1
        file.write("]")
    return count


def _conversation(number: int, chance: random.Random) -> dict[str, Any]:
    began = 1_600_000_000 + number * 3600
    nodes: dict[str, Any] = {"root": {"id": "root", "message": None, "parent": None}}
    before = "root"
    for place in range(chance.randrange(4, 40)):
        role = ("user", "assistant")[place % 2]
        words = " ".join(
            chance.choices(WORDS, k=chance.randrange(10, 40) if role == "user" else 200)
        )
        key = f"{number}-{place}"
        nodes[key] = {
            "id": key,
            "parent": before,
            "children": [],
            "message": {
                "id": key,
                "author": {"role": role, "name": None, "metadata": {}},
                "create_time": began + place * 30.5,
                "content": {"content_type": "text", "parts": [words]},
                "metadata": {"model_slug": "gpt-4o", "padding": "x" * 200},
                "recipient": "all",
            },
        }
        before = key
    return {
        "id": f"conversation-{number}",
        "title": f"Conversation {number}",
        "create_time": began,
        "mapping": nodes,
        "current_node": before,
    }
