"""`lair gaming`: have `auto` leave local GPUs alone, or tell whether it does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from launcher.ask import answer
from launcher.clock import local_time
from launcher.exits import CommandFailedError
from launcher.tables import Column, Room, print_table
from svckit.settings import Settings

_LIMIT_SECONDS = 10.0
_COLUMNS = (Column("backend"), Column("auto"), Column("memory", Room.WRAPPED))


@dataclass(frozen=True, slots=True)
class Switch:
    """Whether to leave GPUs alone, for how long as people write it, and which.

    `enable` None asks only, `hold` None means for good, `backend` None every local one,
    `unload` None as it is configured.
    """

    enable: bool | None
    hold: str | None
    backend: str | None
    unload: bool | None = None


def gaming(settings: Settings, switch: Switch, *, as_json: bool) -> None:
    """Switch gaming mode or leave it, and print how it is. Raises `CommandFailedError`."""
    body = answer(settings, "/gaming-mode", _question(switch), seconds=_LIMIT_SECONDS)
    if as_json:
        print(json.dumps(body, ensure_ascii=False))  # noqa: T201  # the command's own output
    else:
        _print(body)
    alone = [backend["name"] for backend in body["backends"] if backend["enabled"]]
    if switch.enable and (switch.backend not in alone if switch.backend else not alone):
        what = switch.backend or "any local backend"
        raise CommandFailedError(f"nothing changed: auto does not choose {what} anyway")


def _question(switch: Switch) -> Mapping[str, Any] | None:
    """Return the body that switches; None to ask only."""
    if switch.enable is None:
        return None
    wanted = {
        "enable": switch.enable,
        "for": switch.hold,
        "backend": switch.backend,
        "unload": switch.unload,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _print(body: Mapping[str, Any]) -> None:
    print(f"gaming mode is {'on' if body['enabled'] else 'off'}")  # noqa: T201  # the output
    unloadings = {unloading["backend"]: unloading for unloading in body.get("unloadings") or ()}
    rows = [
        (backend["name"], _words(backend), _memory(unloadings.get(backend["name"])))
        for backend in body["backends"]
    ]
    if rows:
        print_table(_COLUMNS, rows)


def _words(backend: Mapping[str, Any]) -> str:
    if not backend["enabled"]:
        return "may choose it"
    until = backend["until"]
    return f"leaves it alone until {local_time(until)}" if until else "leaves it alone"


def _memory(unloading: Mapping[str, Any] | None) -> str:
    """Say what becomes of a backend's models; empty where they stay."""
    if unloading is None:
        return ""
    match unloading["state"]:
        case "done":
            names = ", ".join(unloading["models"])
            return f"unloaded {names}" if names else "nothing was loaded"
        case "pending":
            return "unloads when its requests are done"
        case _:
            return f"not unloaded: {unloading['error']}"
