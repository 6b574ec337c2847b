"""A backend's stream of text completion chunks as clean events. Pure.

Much as `normalise.py`, but pieces are of text only. What llama.cpp does with several
prompts, and others do not: a first event of `null`, choices in any order, and tokens told
choice by choice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from lair.common.v1.chat_pb2 import Usage
from lair.router.v1.chat_pb2 import ChatEvent, Completed, Delta, Finish, Started
from lair.router.v1.completion_pb2 import CompletionCall
from router_svc.backends.completion_json import CHOICE_KEYS, answer_count, completion_id
from router_svc.backends.reply_json import (
    SHAPE_ERRORS,
    encode,
    extra_json,
    inband_error,
    misshapen,
    parse_object,
    parse_usage,
    whole,
)
from router_svc.backends.silence import Silence
from router_svc.model import UpstreamError

_CHUNK_KEYS = frozenset(("id", "object", "created", "model", "choices", "usage", "error"))


class TextStream:
    """Makes events of chunks: a `Reader`."""

    def __init__(self, call: CompletionCall, model: str) -> None:
        self._model = model
        self._answers = answer_count(call)
        self._of_each = call.n or 1
        self._started = False
        self._seen: set[int] = set()
        self._finishes: dict[int, Finish] = {}
        self._usage: Usage | None = None
        self._usages: dict[int, Usage] = {}
        self._silence = Silence()
        self._last_extra = b""
        self._fault: UpstreamError | None = None
        self.done = False

    @property
    def complete(self) -> bool:
        """Whether every answer that was asked for has told why it ended."""
        return len(self._finishes) >= self._answers and self._seen <= self._finishes.keys()

    def feed(self, payloads: Iterable[bytes]) -> list[ChatEvent]:
        """Return the events that `payloads` amount to."""
        events: list[ChatEvent] = []
        for payload in payloads:
            if payload.startswith(b"[DONE]"):
                self.done = True
            elif not self.done and payload != b"null":
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
        if not self._finishes or not self._seen <= self._finishes.keys():
            raise UpstreamError(
                "UPSTREAM_FAILED", "the backend's stream ended in the middle of an answer"
            )
        events = [ChatEvent(finish=self._finishes[index]) for index in sorted(self._finishes)]
        last = Completed(usage=self._whole_usage(), extra_json=self._last_extra)
        events.append(ChatEvent(completed=last))
        return events

    def _chunk(self, payload: bytes, events: list[ChatEvent]) -> None:
        chunk = parse_object(payload)
        if chunk.get("error"):
            raise inband_error(chunk, payload)
        if not self._started:
            self._started = True
            started = Started(
                id=completion_id(chunk.get("id")),
                created=whole(chunk.get("created")) or int(time.time()),
                model=str(chunk.get("model") or self._model),
            )
            events.append(ChatEvent(started=started))
        choices = chunk.get("choices") or []
        extra = extra_json(chunk, _CHUNK_KEYS)
        if (usage := parse_usage(chunk.get("usage"))) is not None:
            if len(choices) == 1:
                self._usages[_index(choices[0])] = usage
            else:
                self._usage = usage
        if not choices:
            self._last_extra = extra or self._last_extra
        for choice in choices:
            self._choice(choice, extra, events)

    def _choice(self, choice: Mapping[str, Any], extra: bytes, events: list[ChatEvent]) -> None:
        index = _index(choice)
        if not 0 <= index < self._answers:
            raise ValueError(f"a choice of index {index} of {self._answers}")
        self._seen.add(index)
        text, logprobs = choice.get("text") or "", choice.get("logprobs")
        extras, reason = (extra_json(choice, CHOICE_KEYS), extra), choice.get("finish_reason")
        speaks = bool(text) or logprobs is not None
        if not (speaks or reason):
            events += self._silence.keep(index, extras)
            return
        news, extras = self._silence.broken(index, extras)
        events += news
        if speaks:
            delta = Delta(index=index, text=text)
            if logprobs is not None:
                delta.logprobs_json = encode(logprobs)
            if not reason:
                delta.choice_extra_json, delta.chunk_extra_json = extras
            events.append(ChatEvent(delta=delta))
        if reason and index not in self._finishes:
            self._finishes[index] = Finish(
                index=index,
                reason=str(reason),
                choice_extra_json=extras[0],
                chunk_extra_json=extras[1],
            )

    def _whole_usage(self) -> Usage | None:
        """Return the usage of all, or the sum of what was told choice by choice."""
        if self._usage or len(self._usages) <= 1:
            return self._usage or next(iter(self._usages.values()), None)
        of_prompts: dict[int, int] = {}
        for index, usage in self._usages.items():
            of_prompts[index // self._of_each] = usage.prompt_tokens
        prompt = sum(of_prompts.values())
        completion = sum(usage.completion_tokens for usage in self._usages.values())
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
        )


def _index(choice: Mapping[str, Any]) -> int:
    return int(choice.get("index") or 0)
