"""Which program asks, by what it says of itself unasked. Pure.

Programs over one of the SDKs (langchain, litellm, instructor, llm, aider) send that SDK's
User-Agent and nothing else: they cannot be told apart from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

_MAX_CHARS = 256
# How known clients begin their User-Agent, and what we call them. All others are called
# what they call themselves: `opencode/1.18.33`, `pydantic-ai/2.38.0`, `curl/8.5.0`.
_CLIENTS = (
    (re.compile(r"(?:Async)?OpenAI/Python (\S+)"), "openai-python"),
    (re.compile(r"(?:Async)?OpenAI/JS (\S+)"), "openai-node"),
    (re.compile(r"(?:Async)?Anthropic/Python (\S+)"), "anthropic-python"),
    (re.compile(r"(?:Async)?Anthropic/JS (\S+)"), "anthropic-node"),
    (re.compile(r"codex[a-z_]*/(\S+)"), "codex"),
    (re.compile(r"claude-cli/(\S+)"), "claude-code"),
    (re.compile(r"ai/(\S+)"), "ai-sdk"),
    (re.compile(r"ai-sdk/[a-z-]+/(\S+)"), "ai-sdk"),
    (re.compile(r"Python/\S+ aiohttp/(\S+)"), "aiohttp"),
    (re.compile(r"Mozilla/()"), "browser"),
)
# Open WebUI speaks through aiohttp; these it sends where it is told to forward its users.
_OPEN_WEBUI = ("X-OpenWebUI-Chat-Id", "X-OpenWebUI-User-Id")


def read_client(headers: Mapping[str, str]) -> str:
    """Return `name/version` of the client program; empty if it does not say."""
    name = client_name(headers.get("User-Agent", ""))
    if name.startswith("aiohttp/") and any(header in headers for header in _OPEN_WEBUI):
        return "open-webui"
    return name


@lru_cache(maxsize=1024)  # there are few, and each sends its own with every request
def client_name(user_agent: str) -> str:
    """Return `name/version` of the program with this User-Agent; empty if there is none."""
    for pattern, name in _CLIENTS:
        found = pattern.match(user_agent)
        if found:
            return _clean(f"{name}/{found[1]}".rstrip("/"))
    first = user_agent.split(maxsplit=1)
    return _clean(first[0]) if first else ""


def _clean(name: str) -> str:
    return "".join(char for char in name if char.isprintable())[:_MAX_CHARS]
