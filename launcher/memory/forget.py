"""`lair memory forget`: show what would go, ask, and have it forgotten for good."""

from __future__ import annotations

import json
import sys

import typer

from launcher.exits import CommandFailedError
from launcher.memory.pages import print_passages
from launcher.memory.rest import Json, Memory


def forget(memory: Memory, target: Json, *, yes: bool, preview: bool, as_json: bool) -> None:
    """Forget what `target` names once a person has seen it, or with `yes`."""
    seen = memory.forget(target, preview=True)
    if preview and as_json:
        _print(json.dumps(seen, ensure_ascii=False))
        return
    if not as_json:
        print_passages(seen["passages"], target.get("topic", ""))
    if not any(seen[name] for name in ("messages", "conversations", "notes", "recalls")):
        _print(json.dumps(seen) if as_json else "there is nothing to forget")
        return
    if not as_json:
        whose = f" of {memory.user}" if memory.user else ""
        _print(f"to forget{whose}: {_counted(seen)}")
    if preview or not (yes or _agreed()):
        return
    done = memory.forget(_exactly(target, seen), preview=False)
    _print(json.dumps(done, ensure_ascii=False) if as_json else f"forgotten: {_counted(done)}")


def _exactly(target: Json, seen: Json) -> Json:
    """Name the messages that were shown: what is said of a topic meanwhile was not."""
    if "topic" not in target:
        return target
    return {"messages": [passage["message_id"] for passage in seen["passages"]]}


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise CommandFailedError("nothing was forgotten: there is nobody to ask; say --yes")
    agreed = typer.confirm("forget it for good?", default=False)
    if not agreed:
        _print("nothing was forgotten")
    return agreed


def _counted(counts: Json) -> str:
    words = {
        "messages": "message",
        "conversations": "whole conversation",
        "notes": "note",
        "recalls": "kept recall",
    }
    said = [
        f"{counts[name]} {word}{'s' if counts[name] != 1 else ''}"
        for name, word in words.items()
        if counts[name]
    ]
    return ", ".join(said) or "nothing"


def _print(line: str) -> None:
    print(line)  # noqa: T201  # the command's own output
