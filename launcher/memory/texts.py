"""What was said, as text: the part that matters, and nothing that could steer a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from launcher.memory.rest import Json

# About six lines of a terminal.
EXCERPT_CHARS = 480
_ARGUMENT_CHARS = 200
# Shorter ones are of, to, is.
_WORD = re.compile(r"\w{3,}")


def words_of(question: str) -> re.Pattern[str] | None:
    """Return what finds the words of a question, and what begins with them, in a text."""
    words = {re.escape(word) for word in _WORD.findall(question)}
    return re.compile(rf"\b(?:{'|'.join(sorted(words))})\w*", re.IGNORECASE) if words else None


def excerpt(text: str, words: re.Pattern[str] | None, room: int = EXCERPT_CHARS) -> str:
    """Return the part of a long text where its first match stands, with `…` for the rest."""
    if len(text) <= room:
        return text
    found = words.search(text) if words else None
    begin = max(0, min((found.start() if found else 0) - room // 4, len(text) - room))
    end = begin + room
    return f"{'…' if begin else ''}{text[begin:end]}{'…' if end < len(text) else ''}"


def printable(text: str) -> str:
    """Leave out what could steer a terminal."""
    return "".join(char for char in text if char.isprintable() or char in "\n\t")


def one_line(text: str) -> str:
    """Return a text as one line that is fit for a terminal."""
    return printable(" ".join(text.split()))


def parts_of(message: Json) -> Iterator[str]:
    """Yield a message's texts, and a line for each thing in it that is no text."""
    content = message["content"]
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        yield part["text"] if isinstance(part.get("text"), str) else f"[{part.get('type')}]"
    for call in message.get("tool_calls") or ():
        yield f"→ {_called(call)}"


def _called(call: Any) -> str:
    function = call.get("function") or call.get("custom") or {}
    arguments = function.get("arguments") or function.get("input") or ""
    written = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return f"{function.get('name')}({excerpt(written, None, _ARGUMENT_CHARS)})"
