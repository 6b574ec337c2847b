"""What a request wishes for beyond its body: routing, memory and tracing headers.

Pure. A value that cannot be understood is refused by its header's name; guessing
could send a prompt out of the house.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.dialects.json_extra import INT32_MAX
from gateway.identity import header_value
from lair.router.v1.chat_pb2 import MemoryHints, MemoryPolicy, RouteHints
from svckit.errors import invalid_field

FLAGS = {"true": True, "1": True, "false": False, "0": False}
_PRIORITIES = ("interactive", "agent", "batch")


def read_route_hints(headers: Mapping[str, str]) -> RouteHints:
    """Read where the request may go, and the class it waits in."""
    return RouteHints(
        backend=header_value(headers, "X-Provider"),
        model=header_value(headers, "X-Model"),
        local_only=read_flag(headers, "X-Local-Only") or False,
        max_context_tokens=_read_max_context(headers),
        priority=_read_priority(headers),
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
    if value.lower() not in FLAGS:
        raise invalid_field(name, f"the header {name} is {value!r}; send true, false, 1 or 0")
    return FLAGS[value.lower()]


def _read_priority(headers: Mapping[str, str]) -> str:
    """Read the class a request waits in; empty for the default one."""
    value = header_value(headers, "X-Priority")
    if value and value.lower() not in _PRIORITIES:
        classes = ", ".join(_PRIORITIES)
        raise invalid_field("X-Priority", f"the header X-Priority is {value!r}; send {classes}")
    return value.lower()


def _read_max_context(headers: Mapping[str, str]) -> int:
    """Read how many tokens a prompt may have; 0 for as many as the model takes."""
    value = header_value(headers, "X-Max-Context")
    if not value:
        return 0
    if not (value.isascii() and value.isdecimal() and 1 <= int(value) <= INT32_MAX):
        raise invalid_field(
            "X-Max-Context",
            f"the header X-Max-Context is {value!r}; send a whole number of tokens from 1",
        )
    return int(value)
