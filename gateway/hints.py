"""What a request wishes for beyond its body: routing, memory and tracing headers.

Pure. A value that cannot be understood is refused by its header's name; guessing
could send a prompt out of the house.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.identity import header_value
from lair.router.v1.chat_pb2 import MemoryHints, MemoryPolicy, RouteHints
from svckit.errors import invalid_field

_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def read_route_hints(headers: Mapping[str, str]) -> RouteHints:
    """Read where the request may go."""
    return RouteHints(
        backend=header_value(headers, "X-Provider"),
        model=header_value(headers, "X-Model"),
        local_only=read_flag(headers, "X-Local-Only") or False,
    )


def read_memory_hints(headers: Mapping[str, str]) -> MemoryHints:
    """Read what may be remembered of the request."""
    wanted = read_flag(headers, "X-Enable-Memory")
    policy = MemoryPolicy.MEMORY_POLICY_UNSPECIFIED
    if wanted is not None:
        policy = MemoryPolicy.MEMORY_POLICY_FULL if wanted else MemoryPolicy.MEMORY_POLICY_OFF
    return MemoryHints(
        conversation_id=header_value(headers, "X-Conversation-ID"),
        policy=policy,
    )


def read_untraced(headers: Mapping[str, str]) -> bool:
    """Tell whether the request asks to leave no trace."""
    return read_flag(headers, "X-Enable-Tracing") is False


def read_flag(headers: Mapping[str, str], name: str) -> bool | None:
    """Read a header that is true or false; None if it is absent."""
    value = header_value(headers, name)
    if not value:
        return None
    if value.lower() not in _FLAGS:
        raise invalid_field(name, f"the header {name} is {value!r}; send true, false, 1 or 0")
    return _FLAGS[value.lower()]
