"""What happened to one request, noted while it happens; in the end, two records.

`RequestRecord` goes to metrics_svc and holds no content; `Turn` goes to memory_svc
where the conversation is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence

from lair.common.v1.chat_pb2 import Message, Usage
from lair.memory.v1.conversation_pb2 import Turn
from lair.metrics.v1.usage_pb2 import (
    ORIGIN_CLIENT,
    STATUS_AUTH,
    STATUS_CLIENT_CANCELLED,
    STATUS_INTERNAL_ERROR,
    STATUS_INVALID_REQUEST,
    STATUS_NO_BACKEND,
    STATUS_OK,
    STATUS_RATE_LIMITED,
    STATUS_TIMEOUT,
    STATUS_UPSTREAM_ERROR,
    Attempt,
    Origin,
    RequestRecord,
    Status,
)
from lair.router.v1.chat_pb2 import ChatCall, ChatCompletion, ChatEvent, Delta
from router_svc.answer import Answer
from router_svc.fitting import Fitting
from router_svc.model import Call
from router_svc.usage import Tokens
from svckit.errors import TABLE
from svckit.times import now_us, to_timestamp

CLIENT_CLOSED_HTTP = 499  # nginx's number for a client that went away

_STATUS: dict[str, Status.ValueType] = {
    "MODEL_NOT_FOUND": STATUS_INVALID_REQUEST,
    "TURN_NOT_FOUND": STATUS_INVALID_REQUEST,
    "INVALID_FIELD": STATUS_INVALID_REQUEST,
    "INVALID_BODY": STATUS_INVALID_REQUEST,
    "CONTEXT_LENGTH_EXCEEDED": STATUS_INVALID_REQUEST,
    "UPSTREAM_REJECTED": STATUS_INVALID_REQUEST,
    "UPSTREAM_FAILED": STATUS_UPSTREAM_ERROR,
    "UPSTREAM_TIMEOUT": STATUS_TIMEOUT,
    "DEADLINE_EXCEEDED": STATUS_TIMEOUT,
    "RATE_LIMITED": STATUS_RATE_LIMITED,
    "NO_BACKEND": STATUS_NO_BACKEND,
    "SERVICE_UNAVAILABLE": STATUS_UPSTREAM_ERROR,
    "UNAUTHENTICATED": STATUS_AUTH,
    "PERMISSION_DENIED": STATUS_AUTH,
}


def status_of(reason: str) -> Status.ValueType:
    """Return how a request that failed for `reason` is counted."""
    return _STATUS.get(reason, STATUS_INTERNAL_ERROR)


class Trace:
    """Notes on one request. Durations are of the monotonic clock, in microseconds."""

    def __init__(self, call: Call, *, streamed: bool) -> None:
        self.call = call
        self.streamed = streamed
        self.conversation_id = ""
        self.parent_head = ""
        self.attempts: list[Attempt] = []
        self.asked_count = 0
        self.queue_us = 0
        self.backend = ""
        self.model = ""
        self.local = False
        self.generated_from_memory = False
        # On whose behalf.
        self.origin: Origin.ValueType = ORIGIN_CLIENT
        # What of a chat is sent, once it is chosen who may answer.
        self.fitting: Fitting | None = None
        # When memory was asked for what bears on the request, and for how long.
        self.recall_us: tuple[int, int] | None = None
        # Further fields of the answer's last chunk.
        self.last_extra_json = b""
        # What the backend's device draws.
        self.device_watts: float | None = None
        # Reads the answer to its end where the client went away and its backend goes on.
        self.rest: asyncio.Task[None] | None = None
        self._began_us = now_us()
        self._clock = time.perf_counter()
        self._first_token_us: int | None = None
        self._upstream_us = 0
        self._attempt_clock = 0.0
        self._status: Status.ValueType = STATUS_OK
        self._reason = ""
        self._usage: Usage | None = None
        self._finish_reason = ""
        # The first is what the conversation goes on with.
        self._answers: dict[int, Answer] = {}

    # -- notes -----------------------------------------------------------------

    def queued(self, since: float) -> None:
        """Note that the request waited for a device since `since`, of `time.perf_counter`."""
        self.queue_us += _since(since)

    def begin_attempt(self, backend: str, model: str, *, local: bool) -> None:
        """Note that a backend is asked."""
        self.asked_count += 1
        self.backend, self.model, self.local = backend, model, local
        self._attempt_clock = time.perf_counter()

    def end_attempt(
        self, status: Status.ValueType, *, http_status: int = 0, error: str = ""
    ) -> None:
        """Note how that ended."""
        duration = _since(self._attempt_clock)
        self._upstream_us += duration
        attempt = Attempt(
            backend=self.backend,
            model=self.model,
            status=status,
            http_status=http_status,
            duration_us=duration,
            error=error[:300],
            begin_us=int((self._attempt_clock - self._clock) * 1e6),
        )
        self.attempts.append(attempt)

    def events(self, events: Sequence[ChatEvent]) -> None:
        """Note what is relayed."""
        for event in events:
            if event.HasField("delta"):  # first, as this is for every token
                if self._first_token_us is None and _says_something(event.delta):
                    self._first_token_us = _since(self._clock)
                answer = self._answers.get(event.delta.index)
                if answer is None:
                    answer = self._answers[event.delta.index] = Answer()
                answer.add(event.delta)
            elif event.HasField("finish"):
                if not event.finish.index:
                    self._finish_reason = event.finish.reason
                self.last_extra_json = event.finish.chunk_extra_json
            elif event.HasField("completed"):
                if event.completed.HasField("usage"):
                    self._usage = event.completed.usage
                self.last_extra_json = event.completed.extra_json or self.last_extra_json

    def completion(self, completion: ChatCompletion) -> None:
        """Note a whole answer."""
        for place, choice in enumerate(completion.choices):
            self._answers[place] = Answer.of(choice.message)
        self._finish_reason = completion.choices[0].finish_reason
        if completion.HasField("usage"):
            self._usage = completion.usage
        self.last_extra_json = completion.extra_json

    def recalled(self, since: float) -> None:
        """Note that memory was asked since `since`, of `time.perf_counter`."""
        self.recall_us = (int((since - self._clock) * 1e6), _since(since))

    def used(self, usage: Usage) -> None:
        """Note the tokens of what has no text to note."""
        self._usage = usage

    def failed(self, reason: str) -> None:
        """Note that the request failed for `reason`, a key of `svckit.errors.TABLE`."""
        self._status, self._reason = status_of(reason), reason

    def cancelled(self) -> None:
        """Note that the client went away."""
        self._status = STATUS_CLIENT_CANCELLED

    # -- records ---------------------------------------------------------------

    @property
    def status(self) -> Status.ValueType:
        """How the request ended."""
        return self._status

    @property
    def first_token_us(self) -> int | None:
        """From arrival to the first piece of an answer."""
        return self._first_token_us

    @property
    def usage(self) -> Usage | None:
        """The tokens the backend counted."""
        return self._usage

    @property
    def answered(self) -> bool:
        """Whether something came that is worth keeping, though its client may have left."""
        return self._status == STATUS_OK or self._first_token_us is not None or bool(self._answers)

    @property
    def began_us(self) -> int:
        """When it came in, by the wall clock."""
        return self._began_us

    @property
    def upstream_us(self) -> int:
        """Time spent waiting for backends."""
        return self._upstream_us

    def answers(self) -> Collection[Answer]:
        """Return what was answered so far."""
        return self._answers.values()

    def tokens_per_second(self) -> float | None:
        """Return how fast the answer was generated: after its first token, where it streamed."""
        tokens = self._usage.completion_tokens if self._usage else 0
        if self._first_token_us is None:
            seconds = self._upstream_us / 1e6
        else:
            tokens, seconds = tokens - 1, (self.duration_us() - self._first_token_us) / 1e6
        return tokens / seconds if tokens > 0 and seconds > 0 else None

    def duration_us(self) -> int:
        """Return the time since arrival."""
        return _since(self._clock)

    def request_record(self, tokens: Tokens) -> RequestRecord:
        """Return what metrics_svc counts."""
        call = self.call
        return RequestRecord(
            request_id=call.request_id,
            request_time=to_timestamp(self._began_us),
            caller=call.caller,
            conversation_id=self.conversation_id,
            endpoint=call.endpoint or "grpc",
            origin=self.origin,
            requested_model=call.model or "auto",
            model=self.model,
            backend=self.backend,
            local=self.local,
            status=self._status,
            http_status=self._http_status(),
            error_reason=self._reason,
            retry_of=call.retry_of,
            streamed=self.streamed,
            tool_call_count=len(self._answers[0].calls) if 0 in self._answers else 0,
            usage=tokens.usage,
            usage_source=tokens.source,
            billed_nano_usd=tokens.billed_nano_usd,
            duration_us=self.duration_us(),
            first_token_us=self._first_token_us,
            upstream_us=self._upstream_us,
            queue_us=self.queue_us,
            attempts=self.attempts,
            new_message_count=_new_messages(call, answered=bool(self._finish_reason)),
            finish_reason=self._finish_reason,
            device_watts=self.device_watts,
        )

    def turn(self, call: ChatCall) -> Turn:
        """Return what memory_svc keeps of the chat `call`."""
        return Turn(
            request_id=call.request_id,
            caller=call.caller,
            conversation_id=self.conversation_id,
            parent_head=self.parent_head,
            messages=call.messages,
            reply=self._reply(0),
            model=self.model,
            backend=self.backend,
            usage=self._usage,
            request_time=to_timestamp(self._began_us),
            generated_from_memory=self.generated_from_memory,
            finish_reason=self._finish_reason or self._ending(),
            endpoint=call.endpoint,
            other_replies=[
                self._reply(place) or Message(role="assistant", text="")
                for place in range(1, max(self._answers, default=0) + 1)
            ],
            record_json=call.memory.record_json,
        )

    def _ending(self) -> str:
        return "cancelled" if self._status == STATUS_CLIENT_CANCELLED else "error"

    def _http_status(self) -> int:
        if self._status == STATUS_OK:
            return 200
        return TABLE[self._reason].http if self._reason else CLIENT_CLOSED_HTTP

    def _reply(self, place: int) -> Message | None:
        answer = self._answers.get(place)
        return answer.message() if answer else None


def _says_something(delta: Delta) -> bool:
    """Tell a piece of the answer from news of its making, as llama.cpp sends of its prompt."""
    return bool(delta.text or delta.reasoning or delta.refusal or delta.tool_calls)


def _since(clock: float) -> int:
    return int((time.perf_counter() - clock) * 1e6)


def _new_messages(call: Call, *, answered: bool) -> int:
    """Count the answer and the messages behind the assistant's last, system prompts apart."""
    if not isinstance(call, ChatCall):
        return 0  # texts and vectors are no conversation
    count = int(answered)
    for message in reversed(call.messages):
        if message.role == "assistant":
            break
        count += message.role not in ("system", "developer")
    return count
