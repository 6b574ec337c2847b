"""A tool's input goes out as it grows, and is one object whatever the model wrote."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jiter import from_json

from gateway.dialects.anthropic_input import INVALID, ObjectText, tool_input

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Half of a pair of surrogates is no text, and JSON can write it all the same.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
objects = st.dictionaries(st.text(), values)


def sent(*pieces: str) -> str:
    """Feed the pieces, and have a client look at each of the texts that it has by then."""
    text, out = ObjectText(), ""
    for piece in pieces:
        out += text.feed(piece)
        if out:
            from_json(out.encode(), partial_mode=True)
    return out + text.close()


@given(objects, st.booleans(), st.data())
def test_an_object_arrives_as_it_was_written(value: Any, ascii_only: bool, data: Any) -> None:
    written = json.dumps(value, ensure_ascii=ascii_only)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(written)), max_size=10)))
    ends = [0, *cuts, len(written)]
    pieces = [written[a:b] for a, b in pairwise(ends)]
    assert json.loads(sent(*pieces)) == value
    assert tool_input(written) == value


@given(objects, st.data(), st.text(max_size=4))
def test_what_is_no_object_is_told_with_all_its_text(value: Any, data: Any, junk: str) -> None:
    written = json.dumps(value)
    cut = data.draw(st.integers(0, len(written)))
    broken = written[:cut] + junk + data.draw(st.sampled_from(["", written[cut:]]))
    came = json.loads(sent(*broken))
    assert came == json.loads(sent(broken)) == tool_input(broken)
    if INVALID in came and INVALID not in value:
        assert came[INVALID] == broken
    elif broken.strip():
        assert came == json.loads(broken)


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ("", {}),
        (" \n", {}),
        ('{"a": 1} \n', {"a": 1}),
        ("null", {INVALID: "null"}),
        ('["a"]', {INVALID: '["a"]'}),
        ('{"a": "x', {"a": "x", INVALID: '{"a": "x'}),
        ('{"a": [1, {"b": tr', {"a": [1, {"b": None}], INVALID: '{"a": [1, {"b": tr'}),
        ('{"a": 1, "b', {"a": 1, "b": None, INVALID: '{"a": 1, "b'}),
        ('{"a": 1,}', {"a": 1, INVALID: '{"a": 1,}'}),
        ('{"a": 1}{"b": 2}', {"a": 1, INVALID: '{"a": 1}{"b": 2}'}),
        ("{'a': 1}", {INVALID: "{'a': 1}"}),
        ('{"a": "\\ud800"}', {"a": "", INVALID: '{"a": "\\ud800"}'}),
        ('{"a": 01}', {"a": None, INVALID: '{"a": 01}'}),
    ],
)
def test_odd_arguments(arguments: str, value: dict[str, Any]) -> None:
    assert tool_input(arguments) == value
    assert json.loads(sent(arguments)) == json.loads(sent(*arguments)) == value


def test_nesting_that_readers_refuse_is_told_as_text() -> None:
    arguments = '{"a": ' + "[" * 200 + "]" * 200 + "}"
    assert tool_input(arguments)[INVALID] == arguments


def test_pieces_of_a_long_text_are_not_held_back() -> None:
    text = ObjectText()
    assert text.feed('{"content": "Once upon') == '{"content": "Once upon'
    assert text.feed(" a time\\") == " a time"
    assert text.feed('n"') == '\\n"'
    assert text.feed(", ") == ""
    assert text.feed('"x": 12') == ', "x"'
    assert text.feed("3}") == ": 123"
    assert text.complete
    assert text.close() == "}"
