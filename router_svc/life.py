"""What every request has, whatever it asks for: a name, a trace, an outcome that is kept.

    with Life(call, ledger, streamed=…) as life:
        …  # note in `life.trace` what happens

The outcome is in the journal before the client sees the end of its answer, so no
finished request is lost by whatever dies next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from uuid_utils import uuid7

from lair.common.v1.caller_pb2 import IDENTITY_SOURCE_DEFAULT
from lair.router.v1.chat_pb2 import ChatEvent, Route
from router_svc.live import Live
from router_svc.measuring import measure
from router_svc.model import Call, Candidate
from router_svc.tokens import TokenEstimator
from router_svc.trace import Trace
from router_svc.usage import Tokens, tokens_of
from svckit import telemetry
from svckit.errors import ServiceError
from svckit.logging import bind_request_id
from svckit.outbox import Outbox
from svckit.times import to_duration


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where finished requests are counted, if they are, and whose they are by default.

    Who watches is told by `live`, counted or not; `estimator` knows what tokens are like.
    """

    records: Outbox
    count: bool
    default_user: str
    estimator: TokenEstimator = field(default_factory=TokenEstimator)
    live: Live = field(default_factory=Live)

    def write(self, trace: Trace) -> Tokens:
        """Journal the record of a request that leaves one; return its tokens."""
        tokens, record = tokens_of(trace, self.estimator), None
        if not trace.call.untraced and (self.count or self.live.watched):
            record = trace.request_record(tokens)
            if self.count:
                self.records.append(record.SerializeToString())
        self.live.end(trace, record)
        return tokens


class Life:
    """One request's frame: whatever ends it, its outcome is journalled once.

    `at_end` is called with the trace after its record is written.
    """

    in_flight = 0  # of this process, for its gauge

    def __init__(self, call: Call, ledger: Ledger, *, streamed: bool) -> None:
        if not call.request_id:
            call.request_id = str(uuid7())
        if not call.caller.user_id:
            call.caller.user_id = ledger.default_user
            call.caller.user_source = IDENTITY_SOURCE_DEFAULT
        bind_request_id(call.request_id)
        self.trace = Trace(call, streamed=streamed)
        self.at_end: Callable[[Trace], None] | None = None
        self._ledger = ledger
        self._journalled = False

    def route(self, candidate: Candidate) -> Route:
        """Say who answers, and why."""
        return Route(
            backend=candidate.backend,
            model=candidate.model,
            reason=candidate.reason,
            fallback_count=max(0, self.trace.asked_count - 1),
            queue_duration=to_duration(self.trace.queue_us),
        )

    def note(self, events: Sequence[ChatEvent], candidate: Candidate) -> None:
        """Note events on their way to the client; the end is journalled before it is told."""
        if events[0].HasField("started"):
            events[0].started.route.CopyFrom(self.route(candidate))
        self.trace.events(events)
        if events[-1].HasField("completed"):
            self.journal()

    def journal(self) -> None:
        """Write the outcome down, once."""
        if self._journalled:
            return
        self._journalled = True
        tokens = self._ledger.write(self.trace)
        if self.at_end:
            self.at_end(self.trace)
        measure(self.trace, tokens)

    def __enter__(self) -> Self:
        Life.in_flight += 1
        self._ledger.live.begin(self.trace)
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        Life.in_flight -= 1
        if isinstance(error, ServiceError):
            self.trace.failed(error.reason)
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            self.trace.cancelled()
        elif error is not None:
            self.trace.failed("INTERNAL")
        if self.trace.rest:  # the answer goes on without its client
            self.trace.rest.add_done_callback(lambda _: self.journal())
        else:
            self.journal()


telemetry.IN_FLIGHT.set_function(lambda: Life.in_flight)
