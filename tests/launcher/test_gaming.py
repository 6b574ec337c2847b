"""`lair gaming`, against a scripted gateway."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from launcher.clock import local_time
from tests.launcher.scripted_gateway import ScriptedGateway
from tests.launcher.support import Lair

OFF: dict[str, Any] = {
    "enabled": False,
    "backends": [{"name": "3090", "enabled": False, "until": None}],
}
ON: dict[str, Any] = {
    "enabled": True,
    "backends": [
        {"name": "3090", "enabled": True, "until": "2020-01-02T12:00:00Z"},
        {"name": "3070", "enabled": True, "until": None},
        {"name": "openrouter", "enabled": False, "until": None},
    ],
}


@pytest.fixture
def five_hours_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "XXX-5")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("five_hours_east")
def test_on_leaves_backends_alone_and_shows_until_when(
    lair: Lair, gateway: ScriptedGateway
) -> None:
    gateway.answer_json(ON)

    ended = lair("gaming", "on", "--for", "2h", "--backend", "3090")

    [(path, _, body)] = gateway.asked
    assert (path, body) == ("/gaming-mode", {"enable": True, "for": "2h", "backend": "3090"})
    assert ended.code == 0
    assert [line.rstrip() for line in ended.out.splitlines()] == [
        "gaming mode is on",
        "  backend     auto",
        "  3090        leaves it alone until 2020-01-02 17:00",
        "  3070        leaves it alone",
        "  openrouter  may choose it",
    ]


@pytest.mark.parametrize(
    ("words", "unload"), [(["--unload"], True), (["--no-unload"], False), ([], None)]
)
def test_on_says_whether_models_leave_the_memory(
    lair: Lair, gateway: ScriptedGateway, words: list[str], unload: bool | None
) -> None:
    gateway.answer_json(ON)

    lair("gaming", "on", *words)

    [(_, _, body)] = gateway.asked
    assert body.get("unload") is unload


def test_on_shows_what_becomes_of_models_in_memory(lair: Lair, gateway: ScriptedGateway) -> None:
    def unloading(name: str, state: str, *models: str, error: str | None = None) -> Any:
        return {"backend": name, "state": state, "models": models, "error": error}

    names = ["3090", "3070", "1080", "970", "cpu"]
    backends = [{"name": name, "enabled": True, "until": None} for name in names]
    unloadings = [
        unloading("3090", "done", "qwen3:8b", "nomic"),
        unloading("3070", "pending"),
        unloading("1080", "unsupported", error="vllm has no way to unload models"),
        unloading("970", "failed", error="HTTP 500: no"),
        unloading("cpu", "done"),
    ]
    gateway.answer_json({"enabled": True, "backends": backends, "unloadings": unloadings})

    ended = lair("gaming", "on", "--unload")

    assert [" ".join(line.split()) for line in ended.out.splitlines()[1:]] == [
        "backend auto memory",
        "3090 leaves it alone unloaded qwen3:8b, nomic",
        "3070 leaves it alone unloads when its requests are done",
        "1080 leaves it alone not unloaded: vllm has no way to unload models",
        "970 leaves it alone not unloaded: HTTP 500: no",
        "cpu leaves it alone nothing was loaded",
    ]


def test_off_names_nothing_but_that(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(OFF)

    ended = lair("gaming", "off")

    [(_, _, body)] = gateway.asked
    assert body == {"enable": False}
    assert (ended.code, ended.out.splitlines()[0]) == (0, "gaming mode is off")


@pytest.mark.parametrize("words", [["gaming"], ["gaming", "status"]])
def test_status_only_asks(lair: Lair, gateway: ScriptedGateway, words: list[str]) -> None:
    gateway.answer_json(OFF)

    ended = lair(*words)

    [(path, _, body)] = gateway.asked
    assert (path, body, ended.code) == ("/gaming-mode", None, 0)


def test_json_is_what_the_gateway_said(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(ON)

    assert json.loads(lair("gaming", "--json").out) == ON


@pytest.mark.parametrize(
    ("words", "body", "what"),
    [
        ([], {"enabled": False, "backends": []}, "any local backend"),
        (["--backend", "quiet"], OFF, "quiet"),
        (["--backend", "openrouter"], ON, "openrouter"),
    ],
)
def test_on_that_changes_nothing_is_1_and_says_so(
    lair: Lair, gateway: ScriptedGateway, words: list[str], body: Any, what: str
) -> None:
    gateway.answer_json(body)

    ended = lair("gaming", "on", *words)

    assert ended.code == 1
    assert ended.out.startswith("gaming mode is ")
    assert ended.err == f"lair: nothing changed: auto does not choose {what} anyway\n"


def test_refusal_is_1_with_the_gateways_own_words(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json({"error": {"message": 'for is "soon"; send 2h'}}, status=400)

    ended = lair("gaming", "on", "--for", "soon")

    assert (ended.code, ended.out, ended.err) == (1, "", 'lair: for is "soon"; send 2h\n')


@pytest.mark.parametrize(
    "words",
    [
        ["off", "--for", "2h"],
        ["off", "--unload"],
        ["status", "--no-unload"],
        ["status", "--for", "2h"],
        ["status", "--backend", "3090"],
        ["maybe"],
    ],
)
def test_what_makes_no_sense_is_2_and_asks_nobody(
    lair: Lair, gateway: ScriptedGateway, words: list[str]
) -> None:
    assert lair("gaming", *words).code == 2
    assert gateway.asked == []


def test_not_running_is_one_line(lair: Lair, port: int) -> None:
    ended = lair("gaming", "on", "--port", str(port))

    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"lair: lair is not running at http://127.0.0.1:{port}")


def test_another_server_is_told_from_lair(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(["hello"])

    assert "is not lair" in lair("gaming").err


@pytest.mark.usefixtures("five_hours_east")
def test_a_time_is_local_and_has_its_day_unless_that_is_today() -> None:
    noon = datetime.now().astimezone().replace(hour=12, minute=5)
    today = noon.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")  # noqa: UP017

    assert local_time(today) == "12:05"
    assert local_time("2020-01-02T22:30:00.123456789Z") == "2020-01-03 03:30"
