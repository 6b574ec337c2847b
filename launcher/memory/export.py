"""`lair memory export`: conversations as JSON lines of OpenAI messages.

A line is a conversation: `id`, `title`, `created_at`, `updated_at`, `project`, `session_id`,
`tags`, `metadata`, `user`, and its `messages` with `role`, `content` and whatever else
the chat API has, `created_at` and, of an answer, `model` and `usage`. Conversations without
messages are left out. `lair import jsonl` reads it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from io import TextIOWrapper
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from launcher.ask import AnsweredError
from launcher.memory.rest import Json, Memory
from launcher.whole_file import whole_file

_KEPT = (
    *("id", "title", "created_at", "updated_at", "project", "session_id"),
    *("tags", "metadata", "user", "messages"),
)
# What names the message here, and what only lair's own reports can use.
_OURS = frozenset(("id", "backend", "finish_reason", "request_id"))


def export(memory: Memory, target: Path | None, *, project: str) -> None:
    """Write every conversation to a file, or to standard output; say how many on stderr."""
    conversations = messages = 0
    with _opened(target) as file, _progress() as progress:
        task = progress.add_task("exporting", total=None)
        for conversation, total in _whole(memory, project):
            file.write(json.dumps(conversation, ensure_ascii=False) + "\n")
            conversations, messages = conversations + 1, messages + len(conversation["messages"])
            progress.update(task, completed=conversations, total=total)
    where = f" to {target}" if target else ""
    done = f"exported {conversations} conversations with {messages} messages{where}"
    print(done, file=sys.stderr)  # noqa: T201  # the command's own words


def _whole(memory: Memory, project: str) -> Iterator[tuple[Json, int]]:
    """Yield each conversation in which something was said, and how many there are in all."""
    for found in memory.all_conversations({"project": project}):
        owner = Memory(memory.settings, found["user_id"])  # two users may have the same id
        try:
            whole = owner.conversation(found["id"])
        except AnsweredError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            continue  # it was forgotten meanwhile
        messages = [_message(message) for message in whole["messages"]]
        if messages:
            line = {**whole, "user": whole["user_id"], "messages": messages}
            yield {name: line[name] for name in _KEPT}, found["total_count"]


def _message(message: Json) -> Json:
    return {name: value for name, value in message.items() if name not in _OURS}


@contextmanager
def _opened(target: Path | None) -> Iterator[IO[str]]:
    """Open standard output, or a file that only this user may read and that is whole or not."""
    if target is None:
        yield sys.stdout
        return
    with whole_file(target) as binary, TextIOWrapper(binary, encoding="utf-8") as file:
        yield file


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
