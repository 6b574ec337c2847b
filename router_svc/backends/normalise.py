"""A backend's stream of chunks as clean events: facts of the wire, section 1.4. Pure.

Whatever the backend does (roles and tool names repeated, calls without index, the
reason in the last text chunk, usage twice), the events follow the order that
`ChatEvent` promises. Ends of answers are held back until the stream has ended, so
that nothing comes after them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import uuid4

from lair.common.v1.chat_pb2 import Usage
from lair.router.v1.chat_pb2 import ChatEvent, Completed, Delta, Finish, Started, ToolCallDelta
from router_svc.backends.reply_json import (
    SHAPE_ERRORS,
    answer_id,
    encode,
    extra_json,
    inband_error,
    misshapen,
    parse_object,
    parse_usage,
    whole,
    words_of,
)
from router_svc.backends.silence import Silence
from router_svc.model import UpstreamError

_CHUNK_KEYS = frozenset(("id", "object", "created", "model", "choices", "usage", "error"))
_CHOICE_KEYS = frozenset(("index", "delta", "finish_reason", "logprobs"))
_DELTA_KEYS = frozenset(
    ("role", "content", "tool_calls", "refusal", "reasoning", "reasoning_content")
)
_CALL_KEYS = frozenset(("index", "id", "type", "function"))
_UNNUMBERED = -1
_MOST_CHOICES = 128  # what a request can ask for


class StreamNormaliser:
    """Feed it the data of SSE events; it returns the events to relay."""

    def __init__(self, model: str, answers: int = 1) -> None:
        self._model = model
        self._answers = answers
        self._started = False
        self._finishes: dict[int, Finish] = {}
        self._calls: dict[int, _ToolCalls] = {}
        self._usage: Usage | None = None
        # Of the chunks that hold nothing else.
        self._bare_usages: list[Usage] = []
        self._last_extra = b""
        self._seen: set[int] = set()
        self._answered: set[int] = set()
        self._silence = Silence()
        # The reasoning of answers that consist of nothing else so far.
        self._only_reasoning: dict[int, list[str]] = {}
        self._fault: UpstreamError | None = None
        self.done = False

    @property
    def complete(self) -> bool:
        """Whether as many answers as were asked for have told why they ended."""
        return len(self._finishes) >= self._answers and self._all_ended()

    def feed(self, payloads: Iterable[bytes]) -> list[ChatEvent]:
        """Return the events that `payloads` amount to.

        A fault is kept for `end`, so that what came before it is relayed.
        """
        events: list[ChatEvent] = []
        for payload in payloads:
            if payload.startswith(b"[DONE]"):
                self.done = True
            elif not self.done:
                try:
                    self._chunk(payload, events)
                except UpstreamError as error:
                    self._fault = error
                except SHAPE_ERRORS as error:
                    self._fault = misshapen(error)
                self.done = self._fault is not None
        return events

    def end(self) -> list[ChatEvent]:
        """Return the last events. Raises `UpstreamError` where the answer broke off."""
        if self._fault:
            raise self._fault
        if not self._all_ended():
            raise UpstreamError(
                "UPSTREAM_FAILED", "the backend's stream ended in the middle of an answer"
            )
        events = list(self._mistaken_answers())
        events += (ChatEvent(finish=self._finishes[index]) for index in sorted(self._finishes))
        last = Completed(usage=self._whole_usage(), extra_json=self._last_extra)
        events.append(ChatEvent(completed=last))
        return events

    def _all_ended(self) -> bool:
        """Whether every answer that began has told why it ended."""
        return bool(self._finishes) and self._seen <= self._finishes.keys()

    def _mistaken_answers(self) -> Iterator[ChatEvent]:
        """Tell as text what a parser took for reasoning.

        Who stops of its own will has answered; who is cut off may have got no further.
        """
        for index, pieces in sorted(self._only_reasoning.items()):
            if self._finishes[index].reason == "stop":
                yield ChatEvent(delta=Delta(index=index, text="".join(pieces)))

    def _whole_usage(self) -> Usage | None:
        """Return the last usage, or the sum where each answer has brought its own."""
        bare = self._bare_usages
        each_its_own = len(bare) == len(self._finishes) > 1
        if not each_its_own or not all(usage.HasField("completion_tokens") for usage in bare):
            return self._usage
        whole = Usage()
        whole.CopyFrom(bare[-1])
        whole.prompt_tokens = max(usage.prompt_tokens for usage in bare)
        whole.completion_tokens = sum(usage.completion_tokens for usage in bare)
        whole.total_tokens = whole.prompt_tokens + whole.completion_tokens
        if any(usage.HasField("reasoning_tokens") for usage in bare):
            whole.reasoning_tokens = sum(usage.reasoning_tokens for usage in bare)
        return whole

    def _chunk(self, payload: bytes, events: list[ChatEvent]) -> None:
        chunk = parse_object(payload)
        if chunk.get("error"):
            raise inband_error(chunk, payload)
        if not self._started:
            self._started = True
            events.append(ChatEvent(started=self._start(chunk)))
        choices = chunk.get("choices") or ()
        if (given := chunk.get("usage")) is not None and (usage := parse_usage(given)):
            self._usage = usage  # of one answer the last counts: some servers count up
            if not choices:
                self._bare_usages.append(usage)
        extra = extra_json(chunk, _CHUNK_KEYS)
        if not choices:
            self._last_extra = extra or self._last_extra
        for choice in choices:
            self._choice(choice, extra, events)

    def _start(self, chunk: Mapping[str, Any]) -> Started:
        return Started(
            id=answer_id(chunk.get("id")),
            created=whole(chunk.get("created")) or int(time.time()),
            model=str(chunk.get("model") or self._model),
        )

    def _choice(self, choice: Mapping[str, Any], extra: bytes, events: list[ChatEvent]) -> None:
        index = int(choice.get("index") or 0)
        if not 0 <= index < _MOST_CHOICES:
            raise ValueError(f"a choice of index {index}")
        self._seen.add(index)
        event = self._delta(index, choice.get("delta") or {}, choice.get("logprobs"))
        extras = (extra_json(choice, _CHOICE_KEYS), extra)
        reason = choice.get("finish_reason")
        if event is None and not reason:
            events += self._silence.keep(index, extras)
            return
        news, extras = self._silence.broken(index, extras)
        events += news
        if reason and index not in self._finishes:
            # A first reason stands; a backend that repeats itself changes nothing.
            self._finishes[index] = Finish(
                index=index,
                reason=str(reason),
                choice_extra_json=extras[0],
                chunk_extra_json=extras[1],
            )
        if event is None:
            return
        if index not in self._answered:
            self._note(index, event.delta)
        if not reason and any(extras):
            event.delta.choice_extra_json, event.delta.chunk_extra_json = extras
        events.append(event)

    def _note(self, index: int, delta: Delta) -> None:
        """Note the reasoning of an answer that consists of nothing else so far."""
        if delta.text or delta.refusal or delta.tool_calls:
            self._answered.add(index)
            self._only_reasoning.pop(index, None)
        elif delta.reasoning:
            self._only_reasoning.setdefault(index, []).append(delta.reasoning)

    def _delta(self, index: int, body: Mapping[str, Any], logprobs: object) -> ChatEvent | None:
        """Build the event; None where it says nothing.

        Only what is there is set, and in place: this runs for every token.
        """
        text, refusal = body.get("content"), body.get("refusal")
        reasoning = body.get("reasoning_content") or body.get("reasoning")
        if isinstance(text, list):
            text, thoughts = words_of(text)
            reasoning = reasoning or thoughts
        calls, extra = body.get("tool_calls"), extra_json(body, _DELTA_KEYS)
        if not (text or reasoning or refusal or calls or extra or logprobs is not None):
            return None
        event = ChatEvent()
        delta = event.delta
        delta.index = index
        if text and isinstance(text, str):
            delta.text = text
        if reasoning and isinstance(reasoning, str):
            delta.reasoning = reasoning
        if refusal and isinstance(refusal, str):
            delta.refusal = refusal
        if logprobs is not None:
            delta.logprobs_json = encode(logprobs)
        if extra:
            delta.extra_json = extra
        if calls:
            delta.tool_calls.extend(self._calls.setdefault(index, _ToolCalls()).feed(calls))
            if not (delta.tool_calls or text or reasoning or refusal or extra):
                return None
        return event


class _ToolCalls:
    """Numbers the tool calls of one answer from 0 and names each once."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._names: list[str] = []
        self._by_upstream: dict[int, int] = {}

    def feed(self, calls: Iterable[Mapping[str, Any]]) -> list[ToolCallDelta]:
        """Return the pieces of calls, numbered and without repetitions."""
        pieces = []
        for call in calls:
            function = call.get("function") or {}
            number, new = self._number(call, function)
            if number is None:
                continue
            arguments = function.get("arguments")
            if arguments is None:
                arguments = ""
            elif not isinstance(arguments, str):
                arguments = encode(arguments).decode()
            piece = ToolCallDelta(
                index=number, arguments=arguments, extra_json=extra_json(call, _CALL_KEYS)
            )
            if new:
                piece.id = self._ids[number]
                piece.type = call.get("type") or "function"
                piece.name = self._names[number]
            elif not (arguments or piece.extra_json):
                continue
            pieces.append(piece)
        return pieces

    def _number(
        self, call: Mapping[str, Any], function: Mapping[str, Any]
    ) -> tuple[int | None, bool]:
        """Return the call's number and whether it is new; None for noise."""
        given, name, upstream = call.get("id"), function.get("name") or "", call.get("index")
        if given and given in self._ids:
            return self._ids.index(given), False
        upstream = upstream if isinstance(upstream, int) else _UNNUMBERED
        known = self._by_upstream.get(upstream)
        # A new id under a known index is another call: older servers number all of them 0.
        # So is a new name where a server gives neither ids nor indexes.
        renamed = known is not None and upstream == _UNNUMBERED and name != self._names[known]
        if given or (name and (known is None or renamed)):
            self._ids.append(given or f"call_{uuid4().hex}")
            self._names.append(name)
            number = len(self._ids) - 1
            self._by_upstream[upstream] = number
            return number, True
        if known is None and self._ids:
            known = len(self._ids) - 1
        return known, False
