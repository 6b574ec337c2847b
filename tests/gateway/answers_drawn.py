"""Streamed answers drawn at random: any order of events that the contract allows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from lair.common.v1.chat_pb2 import Usage
from lair.router.v1.chat_pb2 import ChatEvent, Delta, ToolCallDelta
from tests.gateway.scripted import completed, delta, finish, started, waiting

# What framing, line splitters and terminals trip over, beside any other text.
AWKWARD = (
    *(
        "\n\n",
        "\r\n",
        "\r",
        "\u2028",
        "\x85",
        "\x00",
        "\ufeff",
        "\u202e\u05d0",
        "👩‍👩‍👧",
        "e\u0301",
    ),
    *("data: [DONE]", "[DONE]", ": ", "event: ping", '{"error": {"message": "no"}}', "<think>"),
)
TEXT = st.sampled_from(AWKWARD) | st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
_NAME = st.text("abcdefgh_", min_size=1, max_size=6)
# Names that are ours to write at one level or another, and a vendor's own.
_TAKEN = (
    *("error", "id", "object", "created", "model", "choices", "usage", "obfuscation", "index"),
    *("role", "content", "reasoning", "refusal", "tool_calls", "delta", "finish_reason", "text"),
)
_VALUE = st.none() | st.booleans() | st.integers() | TEXT | st.lists(TEXT, max_size=2)
EXTRA = st.dictionaries(
    st.sampled_from(_TAKEN) | _NAME.map(lambda name: f"x_{name}"), _VALUE, max_size=2
).map(lambda extra: json.dumps(extra).encode() if extra else b"")
LOGPROBS = st.sampled_from([b"", b'{"content":[],"refusal":null}', b'{"content":null}'])
REASON = st.sampled_from(["stop", "length", "tool_calls", "content_filter"])
USAGE = st.builds(Usage, prompt_tokens=st.integers(0, 99), completion_tokens=st.integers(0, 99))


@dataclass
class Drawn:
    """An answer, and what a client must make of it."""

    events: list[ChatEvent]
    reasons: list[str]
    usage: Usage | None
    text: dict[int, str] = field(default_factory=dict)
    reasoning: dict[int, str] = field(default_factory=dict)
    refusal: dict[int, str] = field(default_factory=dict)
    # Of each choice: id, name and arguments of each call.
    calls: dict[int, list[list[str]]] = field(default_factory=dict)

    def add(self, piece: Delta) -> None:
        """Keep what `piece` says."""
        for name in ("text", "reasoning", "refusal"):
            said: dict[int, str] = getattr(self, name)
            said[piece.index] = said.get(piece.index, "") + getattr(piece, name)
        calls = self.calls.setdefault(piece.index, [])
        for part in piece.tool_calls:
            if part.index == len(calls):
                calls.append([part.id, part.name, ""])
            calls[part.index][2] += part.arguments


@st.composite
def answers(draw: st.DrawFn, *, only_text: bool = False) -> Drawn:
    """Draw an answer of one to three choices, which come in any order."""
    count = draw(st.integers(1, 3))
    usage = draw(st.none() | USAGE)
    drawn = Drawn([], [draw(REASON) for _ in range(count)], usage)
    for _ in range(draw(st.integers(0, 8))):
        index = draw(st.integers(0, count - 1))
        said = _text(draw, index) if only_text else _piece(draw, index, drawn.calls.get(index, ()))
        drawn.events.append(said)
        drawn.add(said.delta)
    ends = [
        finish(reason, index=index, choice_extra_json=draw(EXTRA), chunk_extra_json=draw(EXTRA))
        for index, reason in enumerate(drawn.reasons)
    ]
    before = [waiting(place) for place in draw(st.sampled_from([(), (0,), (2, 1)]))]
    last = completed(usage=usage, extra_json=draw(EXTRA))
    drawn.events = [*before, started(), *drawn.events, *ends, last]
    return drawn


def _text(draw: st.DrawFn, index: int) -> ChatEvent:
    return delta(draw(TEXT), index=index, **_extras(draw))


def _piece(draw: st.DrawFn, index: int, calls: Any) -> ChatEvent:
    """Draw a piece that begins calls, extends those begun, or has none."""
    begun, parts = len(calls), []
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, begun))
        part = ToolCallDelta(index=place, arguments=draw(TEXT), extra_json=draw(EXTRA))
        if place == begun:
            part.id, part.name, part.type = f"call_{index}_{place}", draw(_NAME), "function"
            begun += 1
        parts.append(part)
    return delta(
        draw(TEXT),
        index=index,
        reasoning=draw(st.just("") | TEXT),
        refusal=draw(st.just("") | TEXT),
        tool_calls=parts,
        extra_json=draw(EXTRA),
        **_extras(draw),
    )


def _extras(draw: st.DrawFn) -> dict[str, bytes]:
    return {
        "logprobs_json": draw(LOGPROBS),
        "choice_extra_json": draw(EXTRA),
        "chunk_extra_json": draw(EXTRA),
    }


def in_batches(events: list[ChatEvent], size: int) -> list[list[ChatEvent]]:
    """Cut events into messages of at most `size`."""
    return [events[start : start + size] for start in range(0, len(events), size)]
