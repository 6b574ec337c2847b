"""Sends turns to memory_svc and records to metrics_svc, in batches, each after the one before.

While one batch is on its way the next is read. Both services keep what they have once, so
a batch whose answer was lost is sent again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Generic, TypeVar

import grpc

from lair.memory.v1.conversation_pb2 import Turn
from lair.memory.v1.conversation_service_pb2 import AppendTurnsRequest
from lair.memory.v1.conversation_service_pb2_grpc import ConversationServiceStub
from lair.metrics.v1.usage_pb2 import RequestRecord
from lair.metrics.v1.usage_service_pb2 import RecordRequestsRequest
from lair.metrics.v1.usage_service_pb2_grpc import UsageServiceStub
from launcher.exits import CommandFailedError
from launcher.importing.conversation import Malformed
from launcher.importing.tally import Tally
from launcher.importing.wire import Sendable
from svckit.grpc_server import MAX_MESSAGE_BYTES
from svckit.settings import Settings

_MOST_TURNS, _MOST_RECORDS = 500, 1000
# Small enough that whoever chats meanwhile does not wait long for a batch to be stored.
_BATCH_BYTES = 1024 * 1024
_LARGEST_TURN = 48 * 1024 * 1024  # bytes; lair takes 64 MiB a call
_CONNECT_SECONDS, _CALL_SECONDS = 5.0, 120.0
_ATTEMPTS, _PAUSE_SECONDS = 5, 1.0
_PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

Item = TypeVar("Item", Turn, RequestRecord)
Places = Mapping[str, str]


class Delivery:
    """Where the turns of an import go. Made by `delivering`; `flush` at the end."""

    def __init__(
        self, tally: Tally, turns: _Batches[Turn], records: _Batches[RequestRecord] | None
    ) -> None:
        self._tally = tally
        self._turns = turns
        self._records = records

    def add(self, item: Sendable) -> None:
        """Send one turn, together with others. Raises `CommandFailedError`."""
        if item.turn is not None:
            if (size := item.turn.ByteSize()) > _LARGEST_TURN:
                why = f"a turn has {size // 1024**2} MiB; lair takes {_LARGEST_TURN // 1024**2}"
                self._tally.refuse(Malformed(item.where, why))
                return
            self._turns.add(item.turn, item.where)
        if item.record is not None and self._records:
            self._records.add(item.record, item.where)

    def flush(self) -> None:
        """Send what is left, and wait until all of it is stored. Raises `CommandFailedError`."""
        self._turns.flush()
        if self._records:
            self._records.flush()


@contextmanager
def delivering(settings: Settings, tally: Tally, *, metrics: bool) -> Iterator[Delivery]:
    """Connect to a running lair. Raises `CommandFailedError` where it is not reachable."""

    def appended(response: Any, places: Places) -> None:
        tally.new += response.stored_count
        tally.there += response.duplicate_count
        tally.deleted += response.deleted_count
        _note(response.refusals, places)

    def recorded(response: Any, places: Places) -> None:
        tally.counted += response.recorded_count
        _note(response.refusals, places)

    def _note(refusals: Any, places: Places) -> None:
        for refusal in refusals:
            where = places.get(refusal.request_id, refusal.request_id)
            tally.refuse(Malformed(where, refusal.message))

    with ExitStack() as stack:
        memory = ConversationServiceStub(stack.enter_context(_channel(settings.address("memory"))))
        turns = _Batches[Turn](
            memory.AppendTurns, lambda items: AppendTurnsRequest(turns=items), appended, _MOST_TURNS
        )
        records = None
        if metrics:
            usage = UsageServiceStub(stack.enter_context(_channel(settings.address("metrics"))))
            records = _Batches[RequestRecord](
                usage.RecordRequests,
                lambda items: RecordRequestsRequest(records=items),
                recorded,
                _MOST_RECORDS,
            )
        yield Delivery(tally, turns, records)


class _Batches(Generic[Item]):
    """What waits to be sent to one method, and the batch that is on its way."""

    def __init__(
        self,
        method: Any,
        worded: Callable[[list[Item]], Any],
        answered: Callable[[Any, Places], None],
        most: int,
    ) -> None:
        self._method = method
        self._worded: Callable[[list[Item]], Any] = worded
        self._answered = answered
        self._most = most
        self._items: list[Item] = []
        self._places: dict[str, str] = {}
        self._bytes = 0
        self._wait: Callable[[], None] | None = None

    def add(self, item: Item, where: str) -> None:
        """Take one more; send the batch if it is large enough."""
        self._items.append(item)
        self._places[item.request_id] = where
        self._bytes += item.ByteSize()
        if len(self._items) >= self._most or self._bytes >= _BATCH_BYTES:
            self._send()

    def flush(self) -> None:
        """Send the rest and wait for it."""
        if self._items:
            self._send()
        self._finish()

    def _send(self) -> None:
        request, places = self._worded(self._items), self._places
        self._items, self._places, self._bytes = [], {}, 0
        self._finish()
        call = self._called(request)
        self._wait = lambda: self._answered(self._result(call, request), places)

    def _finish(self) -> None:
        wait, self._wait = self._wait, None
        if wait:
            wait()

    def _called(self, request: Any) -> Any:
        return self._method.future(request, timeout=_CALL_SECONDS, wait_for_ready=True)

    def _result(self, call: Any, request: Any) -> Any:
        """Wait for an answer; where lair restarts meanwhile, ask it again."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return call.result()
            except grpc.RpcError as error:
                if error.code() not in _PASSING:
                    raise _broken_off(error) from error
            time.sleep(_PAUSE_SECONDS)
            call = self._called(request)
        try:
            return call.result()
        except grpc.RpcError as error:
            raise _broken_off(error) from error


@contextmanager
def _channel(address: str) -> Iterator[grpc.Channel]:
    options = [
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.enable_http_proxy", 0),  # lair is on this machine, or one that it names
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]
    with grpc.insecure_channel(address, options=options) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_CONNECT_SECONDS)
        except grpc.FutureTimeoutError as error:
            raise CommandFailedError(
                f"lair is not running at {address}; start it with: lair up"
            ) from error
        yield channel


def _broken_off(error: grpc.RpcError) -> CommandFailedError:
    return CommandFailedError(
        f"lair stopped taking it ({error.details() or error.code().name}); what was imported "
        "stays, and the same command goes on from there"
    )
