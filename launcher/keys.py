# ruff: noqa: PLC0415  # each command imports what it needs, so that `lair` itself starts at once
"""`lair keys`: make, list, disable, enable and delete API keys.

They change the file that gateways read; no lair needs to run for it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from launcher.exits import CommandFailedError
from launcher.options import AsJson, ConfigFile, DataDir, resolved_by

if TYPE_CHECKING:  # who runs another command needs neither
    from svckit.keys import ApiKey
    from svckit.settings import Settings


class Memory(Enum):
    """What memory does for requests that do not say."""

    OFF = "off"
    STORE = "store"
    RECALL = "recall"
    FULL = "full"


class Priority(Enum):
    """The class that requests wait in."""

    INTERACTIVE = "interactive"
    AGENT = "agent"
    BATCH = "batch"


Name = Annotated[str, typer.Argument(help="Its name, your choice.")]
User = Annotated[
    str | None, typer.Option("--user", help="Whose it is. Default: memory.default_user.")
]
AnyUser = Annotated[bool, typer.Option("--any-user", help="Requests name their user by X-User-ID.")]
Project = Annotated[str, typer.Option("--project", help="The project of all its requests.")]
Scope = Annotated[
    str,
    typer.Option(
        "--scope",
        help="What it is for, of chat,embeddings,memory,metrics,admin. Default: all but admin.",
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="A model, backend/model or alias it may use. Default: all."),
]
MemoryPolicy = Annotated[
    Memory | None,
    typer.Option("--memory", help="What memory does where a request does not say; off for good."),
]
PriorityClass = Annotated[
    Priority | None, typer.Option("--priority", help="The best class its requests wait in.")
]
RequestsPerMinute = Annotated[
    int, typer.Option("--requests-per-minute", min=0, help="0 is no limit.")
]
TokensPerDay = Annotated[
    int, typer.Option("--tokens-per-day", min=0, help="0 is no limit; days of UTC.")
]
Expires = Annotated[str, typer.Option("--expires", help="After 30d, 12h, or as 2027-01-01 begins.")]
Which = Annotated[str, typer.Argument(metavar="NAME-OR-ID", help="The key's name or id.")]

app = typer.Typer(help="Make and manage API keys.", no_args_is_help=True)


@app.command()
def create(
    *,
    name: Name,
    user: User = None,
    any_user: AnyUser = False,
    project: Project = "",
    scope: Scope = "",
    model: Models = None,
    memory: MemoryPolicy = None,
    priority: PriorityClass = None,
    requests_per_minute: RequestsPerMinute = 0,
    tokens_per_day: TokensPerDay = 0,
    expires: Expires = "",
    as_json: AsJson = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Make a key and print it, this once."""
    from launcher.key_words import key_json
    from launcher.new_key import Wish, made

    if any_user and user is not None:
        raise typer.BadParameter("--user and --any-user exclude each other")
    settings = resolved_by(config, data_dir=data_dir).settings
    wish = Wish(
        name=name,
        user_id="" if any_user else user or settings.memory.default_user,
        project=project,
        scopes=scope,
        models=tuple(model or ()),
        memory_policy=memory.value if memory else "",
        priority=priority.value if priority else "",
        requests_per_minute=requests_per_minute,
        tokens_per_day=tokens_per_day,
        expires=expires,
    )
    with _changing(settings) as keys:
        key, secret = made(wish, keys, datetime.now().astimezone())
        keys.append(key)
    typer.echo(json.dumps({**key_json(key), "key": secret}) if as_json else secret)
    _remark("this is shown once only: lair keeps no more than it needs to know it again")
    if len(keys) == 1:
        _remark("it is the first key: from now on every request to lair needs one")


@app.command("list")
def list_keys(
    *, as_json: AsJson = False, config: ConfigFile = None, data_dir: DataDir = None
) -> None:
    """List all keys, the oldest first."""
    from launcher.key_words import COLUMNS, key_json, row
    from launcher.tables import print_table
    from svckit.keys import keys_file, read_keys

    settings = resolved_by(config, data_dir=data_dir).settings
    with _readable():
        keys = read_keys(keys_file(settings.data_dir))
    if as_json:
        typer.echo(json.dumps({"keys": [key_json(key) for key in keys]}))
    elif keys:
        print_table(COLUMNS, [row(key) for key in keys])
    else:
        typer.echo("there are no keys: whoever reaches lair may use it")


@app.command()
def disable(*, which: Which, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Have a key refused until it is enabled again."""
    _change(which, config, data_dir, lambda key: replace(key, disabled=True))
    typer.echo(f"disabled {which}; gateways refuse it within a second")


@app.command()
def enable(*, which: Which, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Have a disabled key accepted again."""
    _change(which, config, data_dir, lambda key: replace(key, disabled=False))
    typer.echo(f"enabled {which}")


@app.command()
def delete(*, which: Which, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Forget a key."""
    left = _change(which, config, data_dir, lambda _: None)
    typer.echo(f"deleted {which}; gateways refuse it within a second")
    if not left:
        _remark("it was the last key: on loopback, lair now answers everybody of this machine")


def _change(
    which: str,
    config: Path | None,
    data_dir: Path | None,
    change: Callable[[ApiKey], ApiKey | None],
) -> int:
    """Put what `change` makes of a key in its place; return how many keys there are then."""
    settings = resolved_by(config, data_dir=data_dir).settings
    with _changing(settings) as keys:
        places = [place for place, key in enumerate(keys) if which in (key.name, key.id)]
        if not places:
            raise CommandFailedError(f"there is no key {which!r}; lair keys list shows all")
        changed = change(keys[places[0]])
        keys[places[0] : places[0] + 1] = [changed] if changed else []
    return len(keys)


@contextmanager
def _changing(settings: Settings) -> Iterator[list[ApiKey]]:
    from launcher.configuration import make_data_dir
    from svckit.keys import changing_keys, keys_file

    make_data_dir(settings.data_dir)
    with _readable(), changing_keys(keys_file(settings.data_dir)) as keys:
        yield keys


@contextmanager
def _readable() -> Iterator[None]:
    from svckit.keys import KeyFileError

    try:
        yield
    except KeyFileError as error:
        raise CommandFailedError(str(error)) from error


def _remark(text: str) -> None:
    """Tell the person something beside the output, which may go into a variable."""
    print(text, file=sys.stderr)  # noqa: T201  # the command's own words
