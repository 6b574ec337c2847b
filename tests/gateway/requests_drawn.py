"""Bodies of chat requests drawn at random: every field we know, and any beside them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

# Unicode's corners: NUL, letters of four bytes, right to left, marks of order, line ends of
# other standards, private and unassigned characters, a byte order mark.
_CORNERS = (
    "\x00\x1f\x7f\x85\u2028\u202e\u05d0\u0301\ufeff\ufffe\uffff\ue000\U0001f469\u200d\U0010ffff"
)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12) | st.text(
    _CORNERS, max_size=4
)
INT = st.integers(-(2**63), 2**64) | st.integers(-(10**40), 10**40)
FLOAT = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([-0.0, 5e-324, 1e308])
SCALAR = st.none() | st.booleans() | INT | FLOAT | TEXT
JSON = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
VENDOR = st.dictionaries(TEXT.map(lambda name: f"x_{name}"), JSON, max_size=2)
NULL_OR_TEXT = st.none() | TEXT


def record(required: dict[str, Any], optional: dict[str, Any] | None = None) -> Any:
    """Draw an object with these fields, and with a vendor's."""
    known = st.fixed_dictionaries(required, optional=optional or {})
    return st.builds(lambda vendor, typed: vendor | typed, VENDOR, known)


PART = st.one_of(
    record({"type": st.just("text"), "text": TEXT}),
    record(
        {
            "type": st.just("image_url"),
            "image_url": record({"url": TEXT}, {"detail": NULL_OR_TEXT}),
        }
    ),
    record({"type": st.just("input_audio"), "input_audio": record({"data": TEXT})}),
    record({"type": st.just("file"), "file": record({"file_id": NULL_OR_TEXT})}),
    record({"type": st.just("refusal"), "refusal": TEXT}, {"text": NULL_OR_TEXT}),
    record({"type": TEXT.filter(lambda kind: kind not in ("text", "image_url"))}, {"text": JSON}),
)
TOOL_CALL = st.one_of(
    record(
        {"id": TEXT, "function": record({"name": TEXT, "arguments": TEXT})},
        {"type": st.sampled_from(["function", "", None])},
    ),
    record({"id": TEXT, "type": st.just("custom"), "custom": record({"name": TEXT})}),
)
_MESSAGE_OPTIONS = {
    "name": NULL_OR_TEXT,
    "tool_call_id": NULL_OR_TEXT,
    "reasoning_content": NULL_OR_TEXT,
    "reasoning": NULL_OR_TEXT,
    "refusal": NULL_OR_TEXT,
    "tool_calls": st.none() | st.lists(TOOL_CALL, max_size=2),
}
MESSAGE = st.one_of(
    record(
        {
            "role": st.sampled_from(["system", "developer", "user", "tool"]),
            "content": TEXT | st.lists(PART, max_size=3),
        },
        _MESSAGE_OPTIONS,
    ),
    record(
        {"role": st.just("assistant")},
        _MESSAGE_OPTIONS | {"content": st.none() | TEXT | st.lists(PART, max_size=3)},
    ),
)
_FUNCTION = record(
    {"name": TEXT},
    {
        "description": NULL_OR_TEXT,
        "strict": st.none() | st.booleans(),
        "parameters": st.none() | st.dictionaries(TEXT, JSON, max_size=3),
    },
)
TOOL = st.one_of(
    record({"type": st.just("function"), "function": _FUNCTION}),
    record({"type": st.just("web_search")}, {"filters": JSON}),
)
REQUEST = record(
    {"messages": st.lists(MESSAGE, min_size=1, max_size=3)},
    {
        "model": TEXT.filter(bool),
        "tools": st.none() | st.lists(TOOL, max_size=2),
        "tool_choice": st.sampled_from([None, "none", "auto", "required", {"type": "function"}]),
        "stop": NULL_OR_TEXT | st.lists(TEXT, max_size=4),
        "temperature": st.none() | st.floats(0, 2),
        "top_p": st.none() | st.floats(0, 1),
        "seed": st.none() | st.integers(-(2**63), 2**63 - 1),
        "n": st.none() | st.integers(1, 128),
        "max_tokens": st.none() | st.integers(-1, 2**63 - 1),
        "max_completion_tokens": st.none() | st.integers(-1, 2**63 - 1),
        "parallel_tool_calls": st.none() | st.booleans(),
        "response_format": st.none() | record({"type": TEXT}),
        "reasoning_effort": NULL_OR_TEXT,
        "stream": st.none() | st.booleans(),
        "stream_options": st.none() | record({}, {"include_usage": st.booleans()}),
        "metadata": st.none() | st.dictionaries(TEXT, TEXT, max_size=2),
        "store": st.none() | st.booleans(),
        "user": JSON,
    },
)
