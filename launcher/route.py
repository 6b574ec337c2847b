"""`lair route`: which backend a prompt would go to, and why; nothing is run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from launcher.ask import answer
from launcher.exits import CommandFailedError
from launcher.tables import Column, Room, print_table
from svckit.settings import Settings

_LIMIT_SECONDS = 10.0
_COLUMNS = (
    Column("", right=True),
    Column("backend"),
    Column("model"),
    Column("why", Room.WRAPPED),
)


def route(settings: Settings, prompt: str, *, model: str, as_json: bool) -> None:
    """Print who would be asked, in order, and who not. Raises `CommandFailedError`."""
    question = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    body = answer(settings, "/v1/routing/explain", question, seconds=_LIMIT_SECONDS)
    if as_json:
        print(json.dumps(body, ensure_ascii=False))  # noqa: T201  # the command's own output
    else:
        print_table(_COLUMNS, _rows(body["candidates"]))
    if body["chosen"] is None:
        raise CommandFailedError("no backend may take this request")


def _rows(candidates: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str, str]]:
    for place, candidate in enumerate(candidates, start=1):
        rank = str(place) if candidate["eligible"] else "no"
        why = ", ".join(candidate["reasons"])
        yield rank, candidate["backend"], candidate["model"], why
