"""What who watches requests is told, in the contract's words.

News goes out at once where it is quiet, and in batches where it is not: a watcher costs
the router so much a second, whatever its load.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

from lair.router.v1.live_pb2 import (
    LIVE_PHASE_DECODING,
    LIVE_PHASE_PREFILL,
    LIVE_PHASE_QUEUED,
    LiveEvent,
    LivePhase,
    LiveRequest,
    LiveRequests,
)
from lair.router.v1.router_service_pb2 import WatchRequestsRequest, WatchRequestsResponse
from router_svc.live import Ended, Live
from router_svc.trace import Trace
from svckit.times import to_duration, to_timestamp

_INTERVAL_SECONDS = 1.0
_SHORTEST_SECONDS = 0.1
# Between messages, so that a busy router sends few large ones.
_PAUSE_SECONDS = 0.05


async def watch(live: Live, wish: WatchRequestsRequest) -> AsyncGenerator[WatchRequestsResponse]:
    """Yield what happens, until the reader has seen enough or the router stops."""
    asked = wish.progress_interval
    interval = max(_SHORTEST_SECONDS, asked.seconds + asked.nanos / 1e9 or _INTERVAL_SECONDS)
    with live.news.watch() as watcher:
        yield WatchRequestsResponse(events=[LiveEvent(snapshot=_running(live, wish))])
        due = time.monotonic() + interval
        while not watcher.closed:
            news, lost = await watcher.next(max(0.0, due - time.monotonic()))
            events = [_event(item) for item in news if _is_wanted(item, wish)]
            if lost:
                events.append(LiveEvent(snapshot=_running(live, wish)))
            ticks = time.monotonic() >= due
            if ticks:
                due = time.monotonic() + interval
                if running := _running(live, wish).requests:
                    events.append(LiveEvent(progress=LiveRequests(requests=running)))
            if events or ticks:
                yield WatchRequestsResponse(events=events, lost_count=lost)
                await asyncio.sleep(_PAUSE_SECONDS)


def _running(live: Live, wish: WatchRequestsRequest) -> LiveRequests:
    wanted = (trace for trace in live.running() if _is_wanted(trace, wish))
    return LiveRequests(requests=map(_request, wanted))


def _is_wanted(item: Trace | Ended, wish: WatchRequestsRequest) -> bool:
    caller = item.record.caller if isinstance(item, Ended) else item.call.caller
    return wish.user_id in ("", caller.user_id) and wish.project in ("", caller.project)


def _event(item: Trace | Ended) -> LiveEvent:
    if isinstance(item, Ended):
        return LiveEvent(finished=item.record)
    return LiveEvent(started=_request(item))


def _request(trace: Trace) -> LiveRequest:
    call = trace.call
    return LiveRequest(
        request_id=call.request_id,
        request_time=to_timestamp(trace.began_us),
        age=to_duration(trace.duration_us()),
        phase=_phase(trace),
        user_id=call.caller.user_id,
        project=call.caller.project,
        client=call.caller.client,
        endpoint=call.endpoint or "grpc",
        requested_model=call.model or "auto",
        model=trace.model,
        backend=trace.backend,
        streamed=trace.streamed,
        piece_count=sum(answer.piece_count for answer in trace.answers()),
        attempt_count=trace.asked_count,
    )


def _phase(trace: Trace) -> LivePhase.ValueType:
    if trace.first_token_us is not None:
        return LIVE_PHASE_DECODING
    if trace.asked_count > len(trace.attempts):
        return LIVE_PHASE_PREFILL
    return LIVE_PHASE_QUEUED
