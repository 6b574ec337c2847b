"""Log lines as a process writes them to stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAD = """
import asyncio, logging
from svckit.logging import bind_request_id, configure_logging, get_logger
"""


def written(script: str) -> str:
    """Run `script` in a process of its own; return what it wrote to stderr."""
    path = f"{ROOT}{os.pathsep}{ROOT / 'gen'}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HEAD + script],
        env={**os.environ, "PYTHONPATH": path, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return done.stderr


def lines(script: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written(script).splitlines()]


def test_every_line_is_json_with_service_level_time_and_module() -> None:
    (line,) = lines("""
configure_logging("router")
get_logger("router_svc.chat").info("chat finished", backend="ollama", seconds=1.5)
""")
    assert line["service"] == "router"
    assert line["level"] == "info"
    assert line["event"] == "chat finished"
    assert line["backend"] == "ollama"
    assert line["timestamp"].endswith("Z")
    assert "router_svc.chat" in line.values()


def test_the_request_id_is_on_the_lines_of_its_task_only() -> None:
    found = lines("""
configure_logging("router")
log = get_logger("m")

async def request(number):
    bind_request_id(f"r{number}")
    await asyncio.sleep(0)
    log.info("working", number=number)

async def main():
    await asyncio.gather(*(request(number) for number in range(5)))
    log.info("idle")

asyncio.run(main())
""")
    by_number = {line["number"]: line["request_id"] for line in found if "number" in line}
    assert by_number == {number: f"r{number}" for number in range(5)}
    assert "request_id" not in found[-1]


def test_the_standard_librarys_lines_are_alike() -> None:
    (line,) = lines("""
configure_logging("router")
bind_request_id("r1")
logging.getLogger("aiohttp").warning("slow %s", "client")
logging.getLogger("aiohttp").info("left out")
""")
    assert line["event"] == "slow client"
    assert line["request_id"] == "r1"
    assert line["level"] == "warning"


@pytest.mark.parametrize("name", ["api_key", "authorization", "key"])
def test_secrets_are_left_out(name: str) -> None:
    text = written(f"""
configure_logging("router")
get_logger("m").info("event", {name}="sk-secret")
logging.getLogger("aiohttp").warning("event")
""")
    assert "sk-secret" not in text
    assert "***" in text


@pytest.mark.parametrize("fmt", ["json", "text"])
def test_a_fault_is_logged_with_its_traceback(fmt: str) -> None:
    text = written(f"""
configure_logging("router", fmt={fmt!r})
try:
    1 / 0
except ZeroDivisionError as error:
    get_logger("m").error("call failed", exc_info=error)
    logging.getLogger("aiohttp").exception("theirs")
""")
    assert text.count("ZeroDivisionError: division by zero") == 2


def test_lines_below_the_level_are_left_out() -> None:
    found = lines("""
configure_logging("router", level="warning")
get_logger("m").info("no")
get_logger("m").warning("yes")
""")
    assert [line["event"] for line in found] == ["yes"]


def test_any_value_can_be_logged() -> None:
    (line,) = lines("""
from pathlib import Path
configure_logging("router")
get_logger("m").info("event", path=Path("/x"), text="line\\nbreak", error=ValueError("e"))
""")
    assert line["path"] == "/x"
    assert line["text"] == "line\nbreak"
    assert line["error"] == "e"


@pytest.mark.parametrize("fmt", ["json", "text"])
def test_a_line_that_nobody_reads_fails_nothing_and_is_counted(fmt: str) -> None:
    text = written(f"""
import os, sys
reader, writer = os.pipe()
os.close(reader)
kept = os.dup(2)
os.dup2(writer, 2)
configure_logging("router", fmt={fmt!r})
for number in range(5000):
    get_logger("m").warning("event", number=number)
logging.getLogger("aiohttp").warning("theirs")
os.dup2(kept, 2)
from svckit.telemetry import LOG_LINES_LOST
configure_logging("router", fmt="json")
get_logger("m").warning("lost", count=LOG_LINES_LOST._value.get())
""")
    assert json.loads(text.splitlines()[-1])["count"] > 0


@pytest.mark.parametrize("fmt", ["auto", "json", "text"])
def test_a_process_without_stderr_logs_nothing_and_goes_on(fmt: str) -> None:
    assert not written(f"""
import sys
sys.stderr = None
configure_logging("router", fmt={fmt!r})
get_logger("m").warning("event")
logging.getLogger("aiohttp").warning("theirs")
""")


def test_a_value_that_has_no_form_in_json_costs_no_line() -> None:
    found = lines("""
class Broken:
    def __str__(self):
        raise RuntimeError("no")

configure_logging("router")
endless = []
endless.append(endless)
for value in ("a\\ud800", Broken(), endless, {(1, 2): 3}):
    get_logger("m").info("event", value=value, number=1)
""")
    assert [line["event"] for line in found] == ["event"] * 4
    assert found[0]["value"] == "a\\ud800"
    assert found[1]["value"] == "cannot be shown: RuntimeError"
    assert {line["module"] for line in found} == {"m"}
