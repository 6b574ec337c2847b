"""A streamed answer as the events of a response.

Reasoning and message close as soon as something else follows; calls, whose pieces may
come in turns, close together at the end. What a closed item would have gone on with
becomes a further item.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.dialects.chunks import waiting_comment
from gateway.dialects.responses_events import Called, CustomCalled, Events, Reasoning, Said
from gateway.dialects.responses_items import Item, call_id_of, call_item_id, logprobs_of
from gateway.dialects.responses_object import (
    Asked,
    Ending,
    ending_of,
    failure_of,
    response_json,
)
from lair.router.v1.chat_pb2 import ChatEvent, Completed, Delta, ToolCallDelta
from svckit.errors import ServiceError

_RUNNING = Ending("in_progress")


class ResponseStreamEncoder:
    """Write the events of one response."""

    def __init__(self, asked: Asked, *, model: str) -> None:
        self._asked = asked
        self._model = model
        self._events = Events()
        self._created = False
        self._ending: Ending | None = None
        # What every item became, by its place; None while it is open.
        self._output: list[Item | None] = []
        self._current: Reasoning | Said | None = None
        self._calls: dict[int, tuple[int, Called | CustomCalled]] = {}
        self._counts = {"rs": 0, "msg": 0}
        self.finished = False

    @property
    def begun(self) -> bool:
        """Whether the answer has begun, so that headers can go out."""
        return self._created

    def encode(self, events: Iterable[ChatEvent]) -> bytes:
        """Write `events`, in order; what only waits becomes comments."""
        for event in events:
            if event.HasField("delta"):  # first, as this is for every token
                self._delta(event.delta)
                continue
            match event.WhichOneof("event"):
                case "waiting":
                    self._events.comment(waiting_comment(event.waiting.position))
                case "started":
                    self._create(event.started.model)
                case "finish" if not event.finish.index:
                    self._finish(event.finish.reason)
                case "completed":
                    self._complete(event.completed)
                case _:
                    pass  # of another choice than the first, or a newer router's
        return self._events.taken()

    def fail(self, error: ServiceError) -> bytes:
        """Write the failure that ends the stream.

        Items that are still open stay so: clients run a call as soon as it is done. The
        `error` event has its fields twice, as the API describes it and as it sends it.
        """
        if not self._created:
            self._create(self._model)
        failed = self._response(failure_of(error))
        self._events.add("response.failed", response=failed)
        fields: dict[str, Any] = {
            "code": error.meaning.code,
            "message": error.message,
            "param": error.metadata.get("field"),
        }
        self._events.add("error", **fields, error={"type": error.meaning.type, **fields})
        return self._events.taken()

    def _create(self, model: str) -> None:
        self._created = True
        self._model = model
        running = self._response(_RUNNING)
        self._events.add("response.created", response=running)
        self._events.add("response.in_progress", response=running)

    def _delta(self, delta: Delta) -> None:
        if delta.index:  # a response is one answer
            return
        if delta.reasoning:
            self._reasoning().think(delta.reasoning)
        if delta.text:
            self._said().say(delta.text, logprobs_of(delta.logprobs_json))
        if delta.refusal:
            self._said().refuse(delta.refusal)
        for call in delta.tool_calls:
            self._call(call)

    def _reasoning(self) -> Reasoning:
        if not isinstance(self._current, Reasoning):
            self._close_current()
            index, item_id = self._next("rs")
            self._current = Reasoning(self._events, index, item_id, sealed=self._asked.sealed)
        return self._current

    def _said(self) -> Said:
        if not isinstance(self._current, Said):
            self._close_current()
            index, item_id = self._next("msg")
            self._current = Said(self._events, index, item_id)
        return self._current

    def _call(self, piece: ToolCallDelta) -> None:
        if piece.index not in self._calls:
            self._close_current()
            custom = piece.name in self._asked.custom_tools
            item_id = call_item_id(self._asked.digits, piece.index, custom=custom)
            call_id = call_id_of(piece.id, self._asked.digits, piece.index)
            kind = CustomCalled if custom else Called
            index = self._reserve()
            self._calls[piece.index] = (
                index,
                kind(self._events, index, item_id, call_id, piece.name),
            )
        if piece.arguments:
            self._calls[piece.index][1].argue(piece.arguments)

    def _next(self, prefix: str) -> tuple[int, str]:
        """Return the place and the id of an item that opens."""
        count = self._counts[prefix]
        self._counts[prefix] += 1
        again = f"_{count}" if count else ""
        return self._reserve(), f"{prefix}_{self._asked.digits}{again}"

    def _reserve(self) -> int:
        self._output.append(None)
        return len(self._output) - 1

    def _close_current(self, status: str = "completed") -> None:
        """Close what is open beside calls, which is always the latest item."""
        if self._current:
            place = len(self._output) - 1
            self._output[place] = self._current.close(status)
            self._current = None

    def _finish(self, reason: str) -> None:
        """Close all items; the last one shows how the answer ended."""
        self._ending = ending_of(reason)
        if not self._output:
            self._said()
        last = len(self._output) - 1
        for place, call in self._calls.values():
            status = self._ending.item_status if place == last else "completed"
            self._output[place] = call.close(status)
        self._close_current(self._ending.item_status)

    def _complete(self, completed: Completed) -> None:
        if self._ending is None:
            self._finish("stop")
        ending = self._ending or ending_of("stop")
        response = self._response(ending, completed)
        self._events.add(f"response.{ending.status}", response=response)
        self.finished = True

    def _response(self, ending: Ending, completed: Completed | None = None) -> Item:
        has_usage = completed is not None and completed.HasField("usage")
        return response_json(
            self._asked,
            ending,
            model=self._model,
            output=[item for item in self._output if item is not None],
            usage=completed.usage if completed is not None and has_usage else None,
            extra=completed.extra_json if completed is not None else b"",
        )
