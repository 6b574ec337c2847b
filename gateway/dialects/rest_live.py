"""Requests in flight as the events of `/metrics/live`; they hold no content."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from gateway.dialects import sse
from gateway.dialects.rest_records import record_json
from gateway.dialects.rest_types import Count, Milliseconds, Time, rfc3339, word
from lair.router.v1.live_pb2 import LiveEvent, LivePhase
from lair.router.v1.live_pb2 import LiveRequest as Wire
from lair.router.v1.live_pb2 import LiveRequests as WireList
from lair.router.v1.router_service_pb2 import WatchRequestsResponse

_encode = msgspec.json.Encoder().encode
_PHASE = "LIVE_PHASE_"


class LiveRequest(Struct, frozen=True):
    """A request in flight."""

    request_id: str
    time: Time | None
    age_ms: Milliseconds
    phase: str
    user_id: str
    project: str
    client: str
    endpoint: str
    requested_model: str
    model: str | None
    backend: str | None
    streamed: bool
    pieces: Count
    attempts: Count


class LiveRequests(Struct, frozen=True):
    """Requests in flight, the oldest first."""

    requests: list[LiveRequest]


def live_events(message: WatchRequestsResponse) -> bytes:
    """Frame what happened; nothing where nothing did."""
    lost = sse.named_event("lost", _encode({"events": message.lost_count}))
    framed = (lost if message.lost_count else b"", *map(_framed, message.events))
    return b"".join(framed)


def _framed(event: LiveEvent) -> bytes:
    name = event.WhichOneof("event")
    if name is None:  # of a newer router
        return b""
    return sse.named_event(name, _encode(_json(name, event)))


def _json(name: str, event: LiveEvent) -> Any:
    match name:
        case "started":
            return _request(event.started)
        case "finished":
            return record_json(event.finished)
        case "snapshot":
            return _requests(event.snapshot)
        case _:
            return _requests(event.progress)


def _requests(requests: WireList) -> LiveRequests:
    return LiveRequests([_request(request) for request in requests.requests])


def _request(request: Wire) -> LiveRequest:
    return LiveRequest(
        request_id=request.request_id,
        time=rfc3339(request.request_time),
        age_ms=request.age.ToMicroseconds() / 1000,
        phase=word(LivePhase.Name(request.phase), _PHASE),
        user_id=request.user_id,
        project=request.project,
        client=request.client,
        endpoint=request.endpoint,
        requested_model=request.requested_model,
        model=request.model or None,
        backend=request.backend or None,
        streamed=request.streamed,
        pieces=request.piece_count,
        attempts=request.attempt_count,
    )
