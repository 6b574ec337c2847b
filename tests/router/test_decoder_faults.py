"""Whatever backends do to a stream, and however the network cuts it, the same comes out of it.

One row for each thing that servers were seen to do (facts of the wire, sections 1.3, 1.4 and
2.2): the bytes, and what must be heard. `test_faults.py` plays the worst of them over HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from lair.router.v1.chat_pb2 import ChatEvent
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from router_svc.backends.normalise import StreamNormaliser
from router_svc.backends.sse import SseDecoder
from router_svc.model import UpstreamError
from tests.fakes.answers import DONE, chunk, event, stream, usage_chunk
from tests.fakes.openai_server import OpenAIServer
from tests.router.streams import choice
from tests.router.world import asking, events

STOP = chunk(finish="stop")
CALLED = chunk(finish="tool_calls")
HELLO = (chunk("Hel"), chunk("lo"), STOP)
EMPTY = event({"id": "c", "object": "chat.completion.chunk", "created": 1, "choices": []})


@dataclass(frozen=True, slots=True)
class Heard:
    """What a stream said, choice by choice, and how it failed, if it did."""

    text: tuple[str, ...] = ("Hello",)
    reasoning: tuple[str, ...] = ("",)
    calls: tuple[tuple[str, str], ...] = ()
    reasons: tuple[str, ...] = ("stop",)
    # Of prompt and answer; None where nothing was told.
    usage: tuple[int, int] | None = None
    error: str = ""


def broken(words: str, text: str = "Hel") -> Heard:
    return Heard(text=(text,), reasons=(), error=words)


def called(*calls: tuple[str, str]) -> Heard:
    return Heard(text=("",), calls=calls, reasons=("tool_calls",))


def call(arguments: str, **more: Any) -> bytes:
    """Frame a piece of a call; `name` belongs to its function, all else to the call."""
    function = {"arguments": arguments} | ({"name": more.pop("name")} if "name" in more else {})
    return choice({"tool_calls": [{"function": function, **more}]})


def spoken(*texts: str, before: bytes = b"", between: bytes = b"") -> bytes:
    return before + between.join(chunk(text) for text in texts) + between + STOP + DONE


WHOLE = b"".join(HELLO)

# -- section 1.3: framing ------------------------------------------------------------

FRAMING: dict[str, tuple[bytes, Heard]] = {
    "lines end with CRLF": (WHOLE.replace(b"\n", b"\r\n") + DONE, Heard()),
    "data without a space": (WHOLE.replace(b"data: ", b"data:") + DONE, Heard()),
    "no newline at the end": ((WHOLE + DONE).rstrip(), Heard()),
    "no [DONE]": (WHOLE, Heard()),
    "no [DONE] and no newline": (WHOLE.rstrip(), Heard()),
    "a byte order mark first": (b"\xef\xbb\xbf" + WHOLE + DONE, Heard()),
    "comments between events": (spoken("Hel", "lo", between=b": PROCESSING\n\n"), Heard()),
    "blank lines between events": (spoken("Hel", "lo", between=b"\n\n\n"), Heard()),
    "a ping without data": (spoken("Hel", "lo", between=b"event: ping\n\n"), Heard()),
    "a ping with empty data": (spoken("Hel", "lo", between=b"event: ping\ndata: \n\n"), Heard()),
    "empty data": (spoken("Hel", "lo", between=b"data:\n\n"), Heard()),
    "a retry alone": (spoken("Hel", "lo", before=b"retry: 3000\n\n"), Heard()),
    "an id once, then comments": (
        spoken("Hel", "lo", before=b"id: 1\n\n", between=b": alive\n\n"),
        Heard(),
    ),
    "an id and an event with each": (
        WHOLE.replace(b"data: ", b"id: 1\nevent: message\ndata: ") + DONE,
        Heard(),
    ),
    "one event in several data lines": (
        WHOLE.replace(b', "object"', b',\ndata: "object"') + DONE,
        Heard(),
    ),
    "anything behind [DONE]": (WHOLE + DONE + chunk("more") + b"data: junk\n\n", Heard()),
    "a text that holds line ends": (spoken("a\n\nb\r\u2028c"), Heard(("a\n\nb\r\u2028c",))),
    "letters of four bytes": (spoken("👩‍👩‍👧", "日本"), Heard(("👩‍👩‍👧日本",))),
    "invalid JSON": (chunk("Hel") + b"data: {nonsense\n\n", broken("invalid JSON")),
    "JSON that is no object": (chunk("Hel") + b"data: [1]\n\n", broken("no object")),
    "invalid UTF-8": (chunk("Hel") + b'data: {"a": "\xff"}\n\n', broken("invalid JSON")),
    "JSON too deep": (chunk("Hel") + event(b'{"a":' + b"[" * 100_000), broken("invalid JSON")),
}

# -- section 1.3: chunks -------------------------------------------------------------

ROLES = [choice({"role": "assistant", "content": text}) for text in ("", "Hel", "lo")]
TWO = {"id": "c1", "name": "f", "type": "function"}, {"id": "c2", "name": "g"}
CHUNKS: dict[str, tuple[bytes, Heard]] = {
    "the role in every chunk": (b"".join(ROLES) + STOP + DONE, Heard()),
    "a first chunk without choices": (EMPTY + WHOLE + DONE, Heard()),
    "id and name in every piece": (
        call("{", index=0, **TWO[0]) + call("}", index=0, **TWO[0]) + CALLED + DONE,
        called(("f", "{}")),
    ),
    "calls without index": (
        call("{}", **TWO[0]) + call("[]", **TWO[1]) + CALLED + DONE,
        called(("f", "{}"), ("g", "[]")),
    ),
    "pieces of a call without index or id": (
        call("{", **TWO[0]) + call("}") + CALLED + DONE,
        called(("f", "{}")),
    ),
    "an error in the middle": (
        chunk("Hel") + event({"error": {"message": "GPU lost", "code": 500}}),
        broken("GPU lost"),
    ),
    "an error named as an event": (
        chunk("Hel") + b"event: error\n" + event({"error": {"message": "GPU lost"}}),
        broken("GPU lost"),
    ),
    "an error that is a text": (chunk("Hel") + event({"error": "GPU lost"}), broken("GPU lost")),
    "an error and [DONE]": (chunk("Hel") + event({"error": "GPU lost"}) + DONE, broken("GPU lost")),
    "an error of null": (chunk("Hel", error=None) + chunk("lo", error=None) + STOP, Heard()),
    "the connection cut": (chunk("Hel") + chunk("lo")[:-30], broken("invalid JSON")),
    "usage before the end": (
        chunk("Hello") + usage_chunk(5, 2) + STOP + EMPTY + DONE,
        Heard(usage=(5, 2)),
    ),
    "reasoning by its older name": (
        choice({"reasoning_content": "why"}) + b"".join(HELLO),
        Heard(reasoning=("why",)),
    ),
    "reasoning by both names": (
        choice({"reasoning_content": "why", "reasoning": "why"}) + b"".join(HELLO),
        Heard(reasoning=("why",)),
    ),
    "the second choice first": (
        chunk("b", index=1) + chunk("a") + chunk(finish="stop", index=1) + STOP + DONE,
        Heard(("a", "b"), ("", ""), reasons=("stop", "stop")),
    ),
}

# -- section 2.2: servers ------------------------------------------------------------

NUMBERED = [{"index": 0, "function": {"name": n, "arguments": "{}"}, "id": n} for n in "fg"]
SERVERS: dict[str, tuple[bytes, Heard]] = {
    "llama.cpp: two choices with a usage each": (
        chunk("b", index=1) + chunk("a") + chunk(finish="stop", index=1) + usage_chunk(9, 4)
        + STOP + usage_chunk(9, 3) + DONE,
        Heard(("a", "b"), ("", ""), reasons=("stop", "stop"), usage=(9, 7)),
    ),
    "Ollama: all calls are number 0": (
        choice({"tool_calls": NUMBERED[:1]}) + choice({"tool_calls": NUMBERED[1:]}) + CALLED,
        called(("f", "{}"), ("g", "{}")),
    ),
    "Ollama: an error swallowed into an empty chunk": (
        chunk("Hel") + EMPTY,
        broken("middle of an answer"),
    ),
    "the end without a reason": (chunk("Hel") + DONE, broken("middle of an answer")),
    "nothing at all": (b"", broken("middle of an answer", "")),
    "only [DONE]": (DONE, broken("middle of an answer", "")),
    "vLLM: reasoning and content in one chunk": (
        choice({"reasoning": "why", "content": "Hel"}) + chunk("lo") + STOP + DONE,
        Heard(reasoning=("why",)),
    ),
    "vLLM: the reason with the last token": (
        chunk("Hel") + chunk("lo", finish="length") + usage_chunk(5, 2) + DONE,
        Heard(reasons=("length",), usage=(5, 2)),
    ),
    "vLLM: the reason twice": (WHOLE + chunk(finish="length") + DONE, Heard()),
    "vLLM: no reason key": (
        b"".join(event({"choices": [{"index": 0, "delta": {"content": t}}]}) for t in ("Hel", "lo"))
        + STOP + DONE,
        Heard(),
    ),
    "vLLM: the answer in reasoning": (
        choice({"reasoning": "Hello"}) + STOP + DONE,
        Heard(reasoning=("Hello",)),
    ),
    "usage behind the reason": (WHOLE + usage_chunk(5, 2) + DONE, Heard(usage=(5, 2))),
    "transformers: a created that is a float, usage with the reason": (
        (chunk("Hello") + chunk(finish="stop", usage={"prompt_tokens": 5, "completion_tokens": 2}))
        .replace(b"1700000000", b"1700000000.75"),
        Heard(usage=(5, 2)),
    ),
    "LM Studio: an empty name behind the first piece": (
        call("", index=0, **TWO[0]) + call("{}", index=0, name="") + CALLED + DONE,
        called(("f", "{}")),
    ),
    "LM Studio: two calls in one chunk": (
        choice({"tool_calls": [NUMBERED[0], NUMBERED[1] | {"index": 1}]}) + CALLED + DONE,
        called(("f", "{}"), ("g", "{}")),
    ),
    "arguments that are no text": (
        choice({"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}]})
        + CALLED + DONE,
        called(("f", '{"a":1}')),
    ),
    "Mistral: content in parts": (
        choice({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "why"}]}]})
        + choice({"content": [{"type": "text", "text": "Hel"}]}) + chunk("lo") + STOP + DONE,
        Heard(reasoning=("why",)),
    ),
}  # fmt: skip

ROWS = FRAMING | CHUNKS | SERVERS
SIZES = {"1 byte": 1, "7 bytes": 7, "4096 bytes": 4096, "whole": 2**30}


def heard(raw: bytes, size: int) -> Heard:
    """Read a stream in pieces of `size` bytes, as a connection does."""
    decoder, reader = SseDecoder(), StreamNormaliser("asked", answers=1)
    said: list[ChatEvent] = []
    for start in range(0, len(raw), size):
        if not reader.done:
            said += reader.feed(decoder.feed(raw[start : start + size]))
    said += reader.feed(decoder.end())
    try:
        said += reader.end()
    except UpstreamError as error:
        return _heard(said, error.message)
    return _heard(said, "")


def _heard(said: list[ChatEvent], error: str) -> Heard:
    _check_order(said, ended=not error)
    deltas = [item.delta for item in said if item.HasField("delta")]
    finishes = [item.finish for item in said if item.HasField("finish")]
    indexes = sorted({0} | {delta.index for delta in deltas})
    calls: dict[int, list[str]] = {}
    for piece in (piece for delta in deltas for piece in delta.tool_calls):
        begun = calls.setdefault(piece.index, ["", ""])
        assert bool(piece.id) == bool(piece.name) == (begun == ["", ""]), "named once, at first"
        begun[0] += piece.name
        begun[1] += piece.arguments
    assert list(calls) == list(range(len(calls)))
    usage = said[-1].completed.usage if said and said[-1].completed.HasField("usage") else None
    return Heard(
        text=tuple("".join(d.text for d in deltas if d.index == n) for n in indexes),
        reasoning=tuple("".join(d.reasoning for d in deltas if d.index == n) for n in indexes),
        calls=tuple((name, arguments) for name, arguments in calls.values()),
        reasons=tuple(finish.reason for finish in finishes),
        usage=(usage.prompt_tokens, usage.completion_tokens) if usage else None,
        error=error,
    )


def _check_order(said: list[ChatEvent], *, ended: bool) -> None:
    """Fail where events are not in the order that `ChatEvent` promises."""
    ranks = {"started": 0, "delta": 1, "finish": 2, "completed": 3}
    order = [ranks[item.WhichOneof("event") or ""] for item in said]
    assert order == sorted(order)
    assert order.count(0) == bool(order)
    assert order.count(3) == ended
    finishes = [item.finish.index for item in said if item.HasField("finish")]
    assert finishes == sorted(set(finishes))


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(("raw", "expected"), ROWS.values(), ids=ROWS)
def test_what_is_heard(raw: bytes, expected: Heard, size: int) -> None:
    if len(raw) > 50_000 and size < 4096:
        raw = raw[:50_000]  # the rest is more of the same
    found = heard(raw, size)
    assert expected.error in found.error
    assert bool(found.error) == bool(expected.error)
    assert found == Heard(
        *(getattr(expected, name) for name in ("text", "reasoning", "calls", "reasons", "usage")),
        error=found.error,
    )


@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("row", ["id and name in every piece", "letters of four bytes"])
async def test_the_same_is_heard_over_http(
    router: RouterServiceStub, server: OpenAIServer, row: str, size: int
) -> None:
    raw, _ = ROWS[row]
    server.script(stream(*(raw[start : start + size] for start in range(0, len(raw), size))))
    said = [item for item in await events(router, asking("hi")) if not item.HasField("waiting")]
    assert _heard(said, "") == heard(raw, 2**30)
