"""The command line itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from launcher.cli import main, spelled_out

LIST_WHAT_IS_LOADED = """
import sys
from launcher.cli import main
try:
    main(sys.argv[1:])
finally:
    print("LOADED", *{name.partition(".")[0] for name in sys.modules})
"""
SERVICES = {"gateway", "router_svc", "memory_svc", "metrics_svc"}
SLOW = {"grpc", "aiohttp", "aiosqlite", "structlog", "uvloop", "xllamacpp"}


@pytest.mark.parametrize(
    "arguments",
    [
        *(["status"], ["chat", "hi"], ["config", "show"], ["version"]),
        *(["gaming"], ["gaming", "on", "--for", "2h"], ["route", "hi"]),
        *(["memory", "search", "tea"], ["memory", "forget", "7"], ["memory", "export"]),
    ],
)
def test_small_commands_load_no_service_and_nothing_slow(
    arguments: list[str], environment: dict[str, str], port: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIST_WHAT_IS_LOADED, *arguments],
        env={**environment, "LAIR_GATEWAY__PORT": str(port)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    _, _, loaded = done.stdout.rpartition("LOADED")
    assert "launcher" in loaded.split()
    assert (SERVICES | SLOW).isdisjoint(loaded.split())


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("chat hi -c", "chat hi --continue"),
        ("chat -c --json hi", "chat --continue --json hi"),
        ("chat -c sums hi", "chat -c sums hi"),
        ("chat -c -", "chat -c -"),
        ("up -c", "up -c"),
    ],
)
def test_c_without_a_value_is_spelled_out(typed: str, meant: str) -> None:
    assert spelled_out(typed.split()) == meant.split()


def test_help_shows_what_people_run_and_hides_what_the_supervisor_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out

    commands = {line.split()[0] for line in out.partition("Commands:")[2].splitlines() if line}
    assert commands == {
        *("up", "chat", "status", "version", "config"),
        *(
            "gaming",
            "route",
            "reload",
            "keys",
            "mcp",
            "backup",
            "restore",
            "import",
            "stats",
            "wrapped",
        ),
        *("gateway", "router", "memory", "metrics"),
    }
