"""Reach a service: over a channel, or straight to its servicers in this process.

Both give the same typed async stubs: `XStub(connect("127.0.0.1:8014"))` and
`XStub(InProcessChannel(servicers))`.
"""

from __future__ import annotations

import grpc

from svckit.grpc_server import MAX_MESSAGE_BYTES


def connect(address: str) -> grpc.aio.Channel:
    """Open a long-lived channel to `host:port` or `unix:path`; the opener closes it.

    Reconnects within a second of a peer's restart: the default back-off grows to
    two minutes, which would leave a restarted service unused for as long.
    """
    return grpc.aio.insecure_channel(
        address,
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ],
    )
