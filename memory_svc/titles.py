"""What a conversation is called until its user names it."""

from __future__ import annotations

from collections.abc import Iterable

from memory_svc.model import Message
from memory_svc.tree import text_of

MAX_TITLE = 80


def title_of(messages: Iterable[Message]) -> str:
    """Return the first line of the first user message that says something, else ''."""
    for message in messages:
        if message.role == "user":
            return next(filter(None, map(_meaningful, text_of(message).splitlines())), "")
    return ""


def _meaningful(line: str) -> str:
    """Return the line without Markdown's marks and cut to size, '' if no word is in it."""
    line = " ".join(line.strip().lstrip("#>*-`").split())
    if not any(map(str.isalnum, line)):
        return ""
    return line if len(line) <= MAX_TITLE else line[: MAX_TITLE - 1].rstrip() + "…"
