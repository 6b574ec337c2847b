"""The formats that can be imported, and how to tell which one a file or folder has."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from launcher.importing import chatgpt, claude, claude_code, open_webui, openai_jsonl, opencode
from launcher.importing.conversation import Imported
from launcher.importing.database import columns_of, is_database, opened
from launcher.importing.source import (
    Source,
    UnreadableError,
    conversation_parts,
    file_part,
    head_of,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A format: what people call it, what they have of it, and how it is read."""

    name: str
    program: str
    files: str
    read: Callable[[Source], Iterator[Imported]]
    size_of: Callable[[Path], int]


def _exported(path: Path) -> int:
    return sum(part.size for part in conversation_parts(path))


def _file(path: Path) -> int:
    return path.stat().st_size


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "chatgpt",
            "ChatGPT",
            "the export's .zip, or conversations.json",
            chatgpt.read,
            _exported,
        ),
        Kind(
            "claude",
            "Claude.ai",
            "the export's .zip, or conversations.json",
            claude.read,
            _exported,
        ),
        Kind(
            "open-webui",
            "Open WebUI",
            "a JSON export of chats, or webui.db",
            open_webui.read,
            open_webui.size_of,
        ),
        Kind(
            "opencode",
            "OpenCode",
            "~/.local/share/opencode, or opencode.db",
            opencode.read,
            opencode.size_of,
        ),
        Kind(
            "claude-code",
            "Claude Code",
            "~/.claude/projects, or one .jsonl",
            claude_code.read,
            claude_code.size_of,
        ),
        Kind(
            "jsonl",
            "OpenAI messages",
            'JSONL, each line {"messages": [...]}',
            openai_jsonl.read,
            _file,
        ),
    )
}

_CLAUDE_CODE_LINES = ("sessionId", "parentUuid", "leafUuid")


def looks_like(path: Path) -> Kind | None:
    """Return the kind that a file or folder seems to be of; None if it is none of them.

    Raises `UnreadableError`.
    """
    try:
        name = _of_folder(path) if path.is_dir() else _of_file(path)
    except OSError as error:
        raise UnreadableError(f"cannot read {path}: {error.strerror}") from error
    return KINDS.get(name)


def _of_folder(path: Path) -> str:
    if opencode.database_in(path) or (path / "storage" / "session").is_dir():
        return "opencode"
    if (path / "session").is_dir() and (path / "message").is_dir():
        return "opencode"
    if open_webui.database_in(path):
        return "open-webui"
    if next(path.rglob("*.jsonl"), None):
        return "claude-code"
    if next(path.rglob("conversations*.json"), None):
        return _of_text(head_of(conversation_parts(path)))
    return ""


def _of_file(path: Path) -> str:
    if is_database(path):
        with opened(path) as database:
            if "chat" in columns_of(database, "chat"):
                return "open-webui"
            return "opencode" if "session_id" in columns_of(database, "message") else ""
    parts = conversation_parts(path) if zipfile.is_zipfile(path) else [file_part(path)]
    return _of_text(head_of(parts))


def _of_text(head: bytes) -> str:
    """Tell the format by its first bytes, which the first record need not fit in."""
    lines = _objects(head)
    if any("messages" in line and not {"mapping", "chat", "history"} & set(line) for line in lines):
        return "jsonl"
    if any(key in line for line in lines for key in _CLAUDE_CODE_LINES):
        return "claude-code"
    for key, name in ((b'"chat_messages"', "claude"), (b'"mapping"', "chatgpt")):
        if key in head:
            return name
    open_webui_keys = b'"history"' in head or b'"currentId"' in head or b'"childrenIds"' in head
    if open_webui_keys:
        return "open-webui"
    return "jsonl" if head.lstrip()[:1] == b"{" and b'"messages"' in head else ""


def _objects(head: bytes) -> list[dict[str, object]]:
    """Return the lines that are objects of their own, as those of JSONL are."""
    values = []
    for line in head.splitlines():
        try:
            values.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return [value for value in values if isinstance(value, dict)]
