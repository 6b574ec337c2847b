"""`lair route`, against a scripted gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest

from launcher.tables import Column, Room, print_table
from tests.launcher.scripted_gateway import ScriptedGateway
from tests.launcher.support import Lair

FIRST = {"backend": "3090", "model": "qwen3:30b", "eligible": True, "reasons": ["up", "loaded"]}
SECOND = {"backend": "[vllm]", "model": "a", "eligible": True, "reasons": ["up"]}
REFUSED = {"backend": "3070", "model": "b", "eligible": False, "reasons": ["takes no tools"]}
DECISION: dict[str, Any] = {"candidates": [FIRST, SECOND, REFUSED], "chosen": FIRST}


def test_candidates_are_listed_in_order_with_reasons(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(DECISION)

    ended = lair("route", "Say hello", "--model", "big")

    [(path, _, body)] = gateway.asked
    assert path == "/v1/routing/explain"
    assert body == {"model": "big", "messages": [{"role": "user", "content": "Say hello"}]}
    assert ended.code == 0
    assert [line.rstrip() for line in ended.out.splitlines()] == [
        "      backend  model      why",
        "   1  3090     qwen3:30b  up, loaded",
        "   2  [vllm]   a          up",
        "  no  3070     b          takes no tools",
    ]


def test_the_model_is_auto_unless_named(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(DECISION)

    lair("route", "hi")

    assert gateway.asked[0][2]["model"] == "auto"


def test_json_is_what_the_gateway_said(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(DECISION)

    assert json.loads(lair("route", "hi", "--json").out) == DECISION


def test_nobody_who_may_is_1_after_the_reasons(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json({"candidates": [REFUSED], "chosen": None})

    ended = lair("route", "hi")

    assert ended.code == 1
    assert "takes no tools" in ended.out
    assert ended.err == "lair: no backend may take this request\n"


def test_unknown_model_is_1_with_the_gateways_own_words(
    lair: Lair, gateway: ScriptedGateway
) -> None:
    gateway.answer_json({"error": {"message": "did you mean 'a'?"}}, status=404)

    ended = lair("route", "hi", "-m", "aa")

    assert (ended.code, ended.out, ended.err) == (1, "", "lair: did you mean 'a'?\n")


def test_not_running_is_one_line(lair: Lair, port: int) -> None:
    ended = lair("route", "hi", "--port", str(port))

    assert ended.code == 1
    assert len(ended.err.splitlines()) == 1
    assert "lair up" in ended.err


@pytest.mark.parametrize(
    ("room", "rows"),
    [
        (Room.WRAPPED, ["  1  one two", "     three four"]),
        (Room.CUT, ["  1  one two th\N{HORIZONTAL ELLIPSIS}"]),
    ],
)
def test_a_row_fits_into_a_terminal(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    room: Room,
    rows: list[str],
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "16")
    monkeypatch.setenv("TERM", "xterm")

    print_table((Column("n"), Column("what", room)), [("1", "one two three four")])

    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in lines] == rows


def test_a_column_nobody_has_anything_in_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_table((Column("a"), Column("b"), Column("c")), [("1", "", ""), ("2", "", "x")])

    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["a", "c"],
        ["1"],
        ["2", "x"],
    ]


def test_a_row_stays_a_line_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(
        (Column("n", right=True), Column("what")),
        [("1", "long " * 40), ("22", "two\nlines\x1b[2J")],
    )

    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["n", "what"]
    assert first.count("long") == 40
    assert second.rstrip() == "  22  two lines[2J"
