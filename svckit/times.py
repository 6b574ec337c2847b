"""Times on the wire and in databases: UTC microseconds since 1970, as integers."""

from __future__ import annotations

import time

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp


def now_us() -> int:
    """Return the wall clock in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


def to_timestamp(us: int) -> Timestamp:
    """Turn microseconds since 1970 into a protobuf timestamp."""
    return Timestamp(seconds=us // 1_000_000, nanos=us % 1_000_000 * 1000)


def to_duration(us: int) -> Duration:
    """Turn microseconds into a protobuf duration."""
    return Duration(seconds=us // 1_000_000, nanos=us % 1_000_000 * 1000)


def to_us(timestamp: Timestamp) -> int:
    """Turn a protobuf timestamp into microseconds since 1970."""
    return timestamp.seconds * 1_000_000 + timestamp.nanos // 1000
