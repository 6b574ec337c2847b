"""`lair status` and the screen of `lair up`, from what `/health` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from launcher import report, screen
from svckit.settings import Settings
from tests.launcher.scripted_gateway import ScriptedGateway
from tests.launcher.support import Lair

INDEX = {"model": "all-MiniLM-L6-v2", "state": "ready", "error": None}
HOUSE: dict[str, Any] = {
    "state": "up",
    "url": "http://10.0.0.2:8000/v1",
    "models": ["a", "b", "c", "d", "e"],
    "mode": "auto",
    "device": "3090",
    "slots": 2,
    "in_flight": 1,
    "queued": 3,
    "tokens_per_second": 41.46,
    "last_error": None,
}
RECALL = {"state": "up", "url": "", "models": ["recall"]}
WELL: dict[str, Any] = {
    "status": "ok",
    "services": {name: {"status": "up"} for name in ("router", "memory", "metrics")},
    "backends": {"house": HOUSE, "recall": RECALL},
    "memory": INDEX,
    "degraded": [],
}
MEMORY_DOWN = {
    **WELL,
    "status": "degraded",
    "services": {**WELL["services"], "memory": {"status": "down", "error": "not reachable"}},
    "memory": None,
    "degraded": ["The memory service is down (not reachable)."],
}


def test_well_is_0_and_names_services_and_backends(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(WELL)

    ended = lair("status")

    assert ended.code == 0
    lines = [line.rstrip() for line in ended.out.splitlines()]
    assert lines[:5] == [
        f"lair is up at http://127.0.0.1:{gateway.port}",
        "  router    up",
        "  memory    on; search by meaning: ready",
        "  metrics   up",
        "",
    ]
    assert [" ".join(line.split()) for line in lines[5:]] == [
        "backend health auto busy waiting tokens/s device models",
        "house up yes 1/2 3 41.5 3090 a and 4 more",
        "recall up yes 0 0 recall",
    ]


def test_table_tells_what_is_wrong_with_a_backend(lair: Lair, gateway: ScriptedGateway) -> None:
    gone = {**HOUSE, "state": "down", "resting": "failed repeatedly", "last_error": "no\n route"}
    alone = {**HOUSE, "mode": "explicit_only"}
    quiet = {**alone, "gaming": True, "mode_until": "2020-01-02T12:00:00.5Z"}
    backends = {"gone": gone, "quiet": quiet, "game": {**alone, "gaming": True}, "kept": alone}
    gateway.answer_json({**WELL, "backends": backends})

    _, *rows = lair("status").out.splitlines()[5:]

    assert rows[0].split()[1] == "down"
    assert rows[0].rstrip().endswith("a and 4 more  failed repeatedly: no route")
    assert "up      gaming until 2020-01-02" in rows[1]
    assert rows[2].split()[:4] == ["game", "up", "gaming", "1/2"]
    assert rows[3].split()[:4] == ["kept", "up", "no", "1/2"]


def test_status_tells_what_to_do_without_a_backend(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json({**WELL, "backends": {"recall": RECALL}})

    assert "  backends  none found; start Ollama or llama.cpp" in lair("status").out


def test_degraded_is_1_and_says_why(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(MEMORY_DOWN)

    ended = lair("status")

    assert ended.code == 1
    assert "  memory    down: not reachable" in ended.out.splitlines()
    assert ended.out.splitlines()[-1] == "  The memory service is down (not reachable)."


def test_down_is_told_from_a_503(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json({**MEMORY_DOWN, "status": "down"}, status=503)

    assert lair("status").code == 1


def test_not_running_is_2_and_one_line(lair: Lair, port: int) -> None:
    ended = lair("status", "--port", str(port))

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"lair: lair is not running at http://127.0.0.1:{port}")


def test_another_server_is_2(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json({"status": "ok"})

    ended = lair("status")

    assert ended.code == 2
    assert "is not lair" in ended.err


@pytest.mark.parametrize(("body", "code"), [(WELL, 0), (MEMORY_DOWN, 1)])
def test_json_is_what_the_gateway_said(
    lair: Lair, gateway: ScriptedGateway, body: dict[str, Any], code: int
) -> None:
    gateway.answer_json(body)

    ended = lair("status", "--json")

    assert ended.code == code
    assert json.loads(ended.out) == body


def test_json_tells_that_lair_is_not_running(lair: Lair, port: int) -> None:
    ended = lair("status", "--json", "--port", str(port))

    assert ended.code == 2
    assert json.loads(ended.out)["status"] == "not running"


def test_screen_shows_where_everything_is(capsys: pytest.CaptureFixture[str]) -> None:
    screen.show(Settings(data_dir=Path("/data")), report.read(WELL))

    assert capsys.readouterr().out.splitlines() == [
        "",
        "lair is ready: http://127.0.0.1:8012/v1",
        "",
        "  backends  house   http://10.0.0.2:8000/v1  a, b, c, d and 1 more",
        "            recall  built in                 recall",
        "  memory    on; search by meaning: ready",
        "  gRPC      router  127.0.0.1:8013",
        "            memory  127.0.0.1:8014",
        "            metrics 127.0.0.1:8015",
        "  dashboard http://127.0.0.1:8012/metrics/dashboard",
        "  data      /data",
        "  stop      Ctrl-C",
        "",
    ]


def test_screen_tells_what_to_do_without_a_backend(capsys: pytest.CaptureFixture[str]) -> None:
    screen.show(Settings(), report.read({**WELL, "backends": {"recall": RECALL}}))

    assert "backends  none found; start Ollama or llama.cpp" in capsys.readouterr().out


def test_screen_tells_that_memory_is_off() -> None:
    services = {**WELL["services"], "memory": {"status": "off"}}
    off = report.read({**WELL, "services": services, "memory": None})

    assert ("memory", "off") in list(screen.lines(Settings(), off))


def test_screen_is_shown_though_health_was_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    screen.show(Settings(), None)

    assert "backends  not known yet; see lair status" in capsys.readouterr().out


def test_backend_that_is_down_says_so() -> None:
    down = report.Backend("house", "http://h/v1", "down", ())

    assert list(report.backend_lines((down,))) == ["house  http://h/v1  down, no models"]


def test_backend_that_gaming_mode_keeps_says_so() -> None:
    alone = report.Backend("house", "http://h/v1", "up", ("a",), alone=True, gaming=True)

    assert list(report.backend_lines((alone,))) == ["house  http://h/v1  left alone for gaming, a"]
