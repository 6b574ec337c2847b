"""Who asks, read from a request's headers.

Pure. Without API keys, which is on loopback only, the headers are believed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from lair.common.v1.caller_pb2 import Caller
from svckit.errors import invalid_field

MAX_VALUE_CHARS = 256
# As clients send it: ours first, then opencode's and Codex's own.
_SESSION_HEADERS = ("X-Session-ID", "Session-ID", "Thread-ID")
# How known clients begin their User-Agent, and what we call them.
_CLIENTS = (
    (re.compile(r"(?:Async)?OpenAI/Python (\S+)"), "openai-python"),
    (re.compile(r"(?:Async)?OpenAI/JS (\S+)"), "openai-node"),
    (re.compile(r"(?:Async)?Anthropic/Python (\S+)"), "anthropic-python"),
    (re.compile(r"(?:Async)?Anthropic/JS (\S+)"), "anthropic-node"),
    (re.compile(r"codex[a-z_]*/(\S+)"), "codex"),
    (re.compile(r"ai/(\S+)"), "ai-sdk"),
)


def read_caller(headers: Mapping[str, str]) -> Caller:
    """Read who asks; `headers` must look names up in any case.

    Raises INVALID_FIELD with the header's name.
    """
    sessions = (header_value(headers, name) for name in _SESSION_HEADERS)
    return Caller(
        user_id=header_value(headers, "X-User-ID"),
        project=header_value(headers, "X-Project"),
        session_id=next(filter(None, sessions), ""),
        client=client_name(headers.get("User-Agent", "")),
    )


def header_value(headers: Mapping[str, str], name: str) -> str:
    """Return a header's value, empty if it is absent; refuse what no id can be."""
    value = headers.get(name)
    if not value:
        return ""
    value = value.strip()
    if len(value) > MAX_VALUE_CHARS:
        raise invalid_field(
            name,
            f"the header {name} has {len(value)} characters; send at most {MAX_VALUE_CHARS}",
        )
    if not value.isprintable():  # lone surrogates, which stand for bytes that are not UTF-8, too
        raise invalid_field(
            name,
            f"the header {name} holds control characters or is not UTF-8; send printable text",
        )
    return value


@lru_cache(maxsize=1024)  # there are few, and each sends its own with every request
def client_name(user_agent: str) -> str:
    """Return `name/version` of the client program; empty if it does not say."""
    for pattern, name in _CLIENTS:
        found = pattern.match(user_agent)
        if found:
            return _clean(f"{name}/{found[1]}")
    first = user_agent.split(maxsplit=1)
    return _clean(first[0]) if first else ""


def _clean(name: str) -> str:
    return "".join(char for char in name if char.isprintable())[:MAX_VALUE_CHARS]
