"""Options that the commands of `lair memory` share, and the memory that they lead to."""

from __future__ import annotations

import json
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from launcher.options import resolved_by

if TYPE_CHECKING:  # who runs another command needs neither
    from launcher.memory.rest import Json, Memory


class Role(Enum):
    """Who said it."""

    USER = "user"
    ASSISTANT = "assistant"


User = Annotated[
    str,
    typer.Option("--user", help="Whose memory. Default: the key's user, or memory.default_user."),
]
AnyUser = Annotated[
    str, typer.Option("--user", help="Only this user's. Default: the key's user, or everybody's.")
]
Project = Annotated[str, typer.Option("--project", help="Only this project.")]
Scope = Annotated[
    str, typer.Option("--project", help="The project whose recalls it is for. Default: all.")
]
Since = Annotated[
    datetime | None,
    typer.Option("--since", formats=["%Y-%m-%d"], metavar="DAY", help="From this day, 2026-05-01."),
]
Until = Annotated[
    datetime | None,
    typer.Option("--until", formats=["%Y-%m-%d"], metavar="DAY", help="To this day, included."),
]
Number = Annotated[int, typer.Argument(min=1, help="The message's number, as a search shows it.")]


def memory_of(config: Path | None, port: int | None, data_dir: Path | None, user: str) -> Memory:
    """Return the memory of the lair that these options mean."""
    from launcher.memory.rest import Memory  # noqa: PLC0415  # `lair` itself starts at once

    return Memory(resolved_by(config, port=port, data_dir=data_dir).settings, user)


def days(since: datetime | None, until: datetime | None) -> dict[str, str]:
    """Name the days as REST does."""
    return {
        "from": since.date().isoformat() if since else "",
        "to": until.date().isoformat() if until else "",
    }


def print_json(body: Json) -> None:
    """Print what lair answered, for a script."""
    typer.echo(json.dumps(body, ensure_ascii=False))
