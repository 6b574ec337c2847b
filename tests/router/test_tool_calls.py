"""Tool calls come out numbered from 0 and named once, whatever a backend makes of them.

Every stream is fed in pieces of 1, 7 and 4096 bytes.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from lair.router.v1.chat_pb2 import ChatEvent, ToolCallDelta
from tests.fakes.answers import chunk
from tests.router.streams import Normalise, choice, deltas, finishes

TOOLS_STOP = chunk(finish="tool_calls")


def call(arguments: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a piece of a tool call; `name` goes into its function."""
    function = {"name": more.pop("name")} if "name" in more else {}
    if arguments is not None:
        function["arguments"] = arguments
    return {"function": function, **more}


def calls(*pieces: dict[str, Any]) -> bytes:
    return choice({"tool_calls": list(pieces)})


def tool_pieces(events: list[ChatEvent]) -> list[ToolCallDelta]:
    return [piece for delta in deltas(events) for piece in delta.tool_calls]


def tool_calls(events: list[ChatEvent]) -> list[tuple[str, str, str]]:
    """Put the calls together as a client does: id, name, arguments."""
    whole: dict[int, list[str]] = {}
    for piece in tool_pieces(events):
        parts = whole.setdefault(piece.index, ["", "", ""])
        for place, value in enumerate((piece.id, piece.name, piece.arguments)):
            parts[place] += value
    assert list(whole) == list(range(len(whole)))
    return [(parts[0], parts[1], parts[2]) for parts in whole.values()]


def test_a_call_in_pieces_is_named_once(normalise: Normalise) -> None:
    events = normalise(
        calls(call("", index=0, id="c1", type="function", name="f")),
        calls(call('{"a"', index=0)),
        calls(call(":1}", index=0)),
        TOOLS_STOP,
    )
    assert tool_calls(events) == [("c1", "f", '{"a":1}')]
    assert [piece.type for piece in tool_pieces(events)] == ["function", "", ""]
    assert finishes(events) == [(0, "tool_calls")]


def test_id_and_name_repeated_in_every_piece_are_told_once(normalise: Normalise) -> None:
    pieces = [calls(call(part, index=0, id="c1", name="f")) for part in ("{", "}")]
    assert tool_calls(normalise(*pieces, TOOLS_STOP)) == [("c1", "f", "{}")]


def test_a_name_repeated_without_an_id_is_told_once(normalise: Normalise) -> None:
    pieces = [calls(call(part, index=0, name="f")) for part in ("{", "}")]
    [(call_id, name, arguments)] = tool_calls(normalise(*pieces, TOOLS_STOP))
    assert (name, arguments) == ("f", "{}")
    assert call_id.startswith("call_")


def test_an_empty_name_behind_the_first_piece_changes_nothing(normalise: Normalise) -> None:
    events = normalise(
        calls(call("", index=0, id="c1", name="f")),
        calls(call("{}", index=0, name="")),
        calls(call("", index=0, id="", name="")),
        TOOLS_STOP,
    )
    assert tool_calls(events) == [("c1", "f", "{}")]
    assert len(tool_pieces(events)) == 2


def test_calls_without_index_are_numbered(normalise: Normalise) -> None:
    events = normalise(
        calls(call("{", id="c1", name="f")),
        calls(call("}")),
        calls(call("{}", id="c2", name="g")),
        TOOLS_STOP,
    )
    assert tool_calls(events) == [("c1", "f", "{}"), ("c2", "g", "{}")]


def test_calls_with_neither_index_nor_id_are_told_apart_by_name(normalise: Normalise) -> None:
    events = normalise(calls(call("{}", name="f"), call("{}", name="g")), TOOLS_STOP)
    found = tool_calls(events)
    assert [(name, arguments) for _, name, arguments in found] == [("f", "{}"), ("g", "{}")]
    assert found[0][0] != found[1][0]


def test_calls_all_numbered_0_are_told_apart_by_id(normalise: Normalise) -> None:
    events = normalise(
        calls(call('{"x":1}', index=0, id="c1", name="f")),
        calls(call('{"x"', index=0, id="c2", name="f")),
        calls(call(":2}", index=0)),
        TOOLS_STOP,
    )
    assert tool_calls(events) == [("c1", "f", '{"x":1}'), ("c2", "f", '{"x":2}')]


def test_interleaved_calls_and_indexes_with_holes_are_sorted_out(normalise: Normalise) -> None:
    events = normalise(
        calls(call("", index=1, id="a", name="f"), call("", index=5, id="b", name="g")),
        calls(call("[1", index=1), call("[2", index=5)),
        calls(call("]", index=5), call("]", index=1)),
        TOOLS_STOP,
    )
    assert tool_calls(events) == [("a", "f", "[1]"), ("b", "g", "[2]")]


def test_each_answer_numbers_its_own_calls(normalise: Normalise) -> None:
    def of(index: int, call_id: str) -> bytes:
        piece = call("{}", index=0, id=call_id, name="f")
        return choice({"tool_calls": [piece]}, index=index, finish="tool_calls")

    events = normalise(of(1, "b"), of(0, "a"))
    found = {delta.index: delta.tool_calls[0] for delta in deltas(events)}
    assert {index: (piece.index, piece.id) for index, piece in found.items()} == {
        0: (0, "a"),
        1: (0, "b"),
    }


@pytest.mark.parametrize("arguments", [{}, {"city": "Oslo"}])
def test_arguments_as_an_object_become_text(normalise: Normalise, arguments: object) -> None:
    piece = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": arguments}}
    [(_, _, sent)] = tool_calls(normalise(calls(piece), TOOLS_STOP))
    assert json.loads(sent) == arguments
