"""What the bytes of every stream of ours must be like, and openai-python as the judge of it.

The rules are those that official clients were seen to fail without.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx2
import openai

MESSAGES: Any = [{"role": "user", "content": "Hi"}]
_DONE = "data: [DONE]"


def chunks_of(raw: bytes, *, ended: bool = True) -> list[dict[str, Any]]:
    """Return the JSON of each event; fail where the framing is not the one all clients read.

    Nothing but comments and one-line data, each closed by a blank line; `[DONE]` once and
    last, and only behind an answer that has `ended`.
    """
    assert b"\r" not in raw
    frames = raw.decode().split("\n\n")
    assert frames.pop() == "", "the last event is closed"
    if ended:
        assert frames.pop() == _DONE
    found = []
    for frame in frames:
        assert "\n" not in frame, "no event has further fields"
        if frame.startswith(": "):
            continue  # a comment, which all clients skip
        assert frame.startswith("data: {"), "no event is empty, a ping, an id or a retry"
        found.append(json.loads(frame.removeprefix("data: ")))
    return found


def check_chunks(chunks: list[dict[str, Any]], kind: str, *, include_usage: bool) -> None:
    """Fail where the chunks of a whole answer break a rule that holds for chats and texts."""
    heads = {(c["id"], c["object"], c["created"], c["model"]) for c in chunks}
    assert len(heads) == 1
    assert heads.pop()[1] == kind
    for chunk in chunks:
        assert not chunk.get("error"), "a true error is an exception in openai-python"
        assert "obfuscation" not in chunk
        assert ("usage" in chunk) is include_usage
    if include_usage:
        *chunks, last = chunks
        assert last["choices"] == []
        assert all(chunk["usage"] is None for chunk in chunks)
    assert all(len(chunk["choices"]) == 1 for chunk in chunks)
    choices = [chunk["choices"][0] for chunk in chunks]
    last_of = {choice["index"]: choice for choice in choices}
    ends = [choice for choice in choices if choice["finish_reason"] is not None]
    assert [choice["index"] for choice in ends] == list(range(len(last_of)))
    assert ends == [last_of[index] for index in sorted(last_of)], "nothing follows an end"


def check_chat_choices(chunks: list[dict[str, Any]]) -> None:
    """Fail where roles, calls or ends are not told as clients add them up."""
    opened: list[int] = []
    begun: dict[int, int] = {}
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        index, piece = choice["index"], choice["delta"]
        assert choice.keys() >= {"index", "delta", "logprobs", "finish_reason"}
        if "role" in piece:
            opened.append(index)
            assert piece == {"role": "assistant", "content": ""}
            assert choice["finish_reason"] is None
        assert index in opened, "a choice opens with its role"
        if choice["finish_reason"] is not None:
            assert piece == {}, "the reason comes alone"
        for call in piece.get("tool_calls", ()):
            begins = call["index"] == begun.get(index, 0)
            assert begins or 0 <= call["index"] < begun[index]
            if begins:
                begun[index] = call["index"] + 1
                assert call.keys() >= {"index", "id", "type", "function"}
                assert call["type"] == "function"
                assert call["function"].keys() == {"name", "arguments"}
                assert call["id"]
                assert call["function"]["name"]
                assert call["function"]["arguments"] == ""
            else:
                assert not call.keys() & {"id", "type"}
                assert call["function"].keys() == {"arguments"}
    assert opened == list(range(len(opened))), "choices open once, in ascending order"


def chat_by_openai(raw: bytes, size: int) -> Any:
    """Return what openai-python's helper adds a stream up to that comes in reads of `size`."""
    with _client(_cut(raw, size)).chat.completions.stream(model="m", messages=MESSAGES) as stream:
        for _ in stream:
            pass
        return stream.current_completion_snapshot


def chunks_by_openai(raw: bytes, size: int) -> list[Any]:
    """Return the chunks that openai-python validates out of a chat stream."""
    client = _client(_cut(raw, size))
    return list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))


def texts_by_openai(raw: bytes, size: int) -> list[Any]:
    """Return the chunks that openai-python reads out of a text stream.

    Unvalidated: its type of a text's chunk knows no `finish_reason` of null, which OpenAI's
    own chunks have.
    """
    client = _client(_cut(raw, size), strict=False)
    return list(client.completions.create(model="m", prompt="Hi", stream=True))


def _cut(raw: bytes, size: int) -> tuple[bytes, ...]:
    return tuple(raw[start : start + size] for start in range(0, len(raw), size))


class _Played(httpx2.BaseTransport):
    """Answers every request with the same pieces of a stream."""

    pieces: tuple[bytes, ...] = ()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": "text/event-stream"}
        return httpx2.Response(200, headers=headers, content=self._content(), request=request)

    def _content(self) -> Iterator[bytes]:
        yield from self.pieces


@cache
def _transport() -> _Played:
    return _Played()


@cache
def _openai(*, strict: bool) -> openai.OpenAI:
    return openai.OpenAI(
        base_url="http://lair/v1",
        api_key="any",
        max_retries=0,
        http_client=httpx2.Client(transport=_transport()),
        _strict_response_validation=strict,
    )


def _client(pieces: tuple[bytes, ...], *, strict: bool = True) -> openai.OpenAI:
    _transport().pieces = pieces
    return _openai(strict=strict)
