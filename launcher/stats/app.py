# ruff: noqa: PLC0415  # each command imports what it needs, so that `lair` itself starts at once
"""The commands `lair stats`, `lair stats export` and `lair wrapped`."""

from __future__ import annotations

import json
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from launcher.exits import CommandFailedError
from launcher.options import AsJson, ConfigFile, DataDir, HttpPort, resolved_by

_DAY = ["%Y-%m-%d"]

Year = Annotated[int | None, typer.Option("--year", min=2000, max=2999, help="This year.")]
Since = Annotated[
    datetime | None,
    typer.Option("--from", formats=_DAY, metavar="DAY", help="From this day, 2026-05-01."),
]
Until = Annotated[
    datetime | None,
    typer.Option("--to", formats=_DAY, metavar="DAY", help="To this day, included."),
]
Days = Annotated[
    int | None, typer.Option("--days", min=1, max=3660, help="This many, until today or --to.")
]
Zone = Annotated[
    str,
    typer.Option(
        "--tz", metavar="ZONE", help="Whose days. Default: metrics.time_zone, or the machine's."
    ),
]
Project = Annotated[str, typer.Option("--project", help="Only this project.")]
User = Annotated[
    str, typer.Option("--user", help="Only this user. Default: the key's user, or everybody.")
]


class Format(Enum):
    """How an export is written."""

    CSV = "csv"
    JSONL = "jsonl"
    ZIP = "zip"


def register(app: typer.Typer) -> None:
    """Add the commands to `lair`."""
    stats_app = typer.Typer()
    stats_app.callback(invoke_without_command=True)(stats)
    stats_app.command()(export)
    app.add_typer(stats_app, name="stats")
    app.command()(wrapped)


def stats(
    context: typer.Context,
    *,
    year: Year = None,
    since: Since = None,
    until: Until = None,
    days: Days = None,
    tz: Zone = "",
    project: Project = "",
    user: User = "",
    as_json: AsJson = False,
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """Show what was used: figures, a chart of days, models, costs; by default of a year."""
    from launcher.stats.page import print_stats
    from launcher.stats.period import period, today
    from launcher.stats.rest import Usage

    if context.invoked_subcommand is not None:
        if any((year, since, until, days, tz, project, user, as_json, config, port, data_dir)):
            command = context.invoked_subcommand
            raise typer.BadParameter(f"options stand behind the command: lair stats {command} …")
        return
    settings = resolved_by(config, port=port, data_dir=data_dir).settings
    asked = period(
        year=year, since=since, until=until, days=days, today=today(tz, settings.metrics.time_zone)
    )
    summary = Usage(settings, tz=tz, project=project, user=user).summary(asked)
    if as_json:
        typer.echo(json.dumps(summary, ensure_ascii=False))
    else:
        print_stats(summary, project=project, user=user)


def export(
    *,
    target: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file. Default: standard output.")
    ] = None,
    form: Annotated[
        Format | None, typer.Option("--format", help="Default: as the file is named, else csv.")
    ] = None,
    year: Year = None,
    since: Since = None,
    until: Until = None,
    days: Days = None,
    tz: Zone = "",
    project: Project = "",
    user: User = "",
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """Write counted requests as CSV, JSON lines, or a zip of both with their attempts."""
    from launcher.stats.export import export as run_export
    from launcher.stats.period import ALWAYS, period, today
    from launcher.stats.rest import Usage

    settings = resolved_by(config, port=port, data_dir=data_dir).settings
    asked = ALWAYS
    if any((year, since, until, days)):
        now = today(tz, settings.metrics.time_zone)
        asked = period(year=year, since=since, until=until, days=days, today=now)
    usage = Usage(settings, tz=tz, project=project, user=user)
    run_export(usage, asked, target, _named(target, form))


def wrapped(
    *,
    year: Annotated[
        int | None, typer.Option("--year", min=1971, max=9998, help="Which. Default: this one.")
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .png or .svg. Default: lair-<year>.png."),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Leave out names of models and projects.")
    ] = False,
    tz: Zone = "",
    project: Project = "",
    user: User = "",
    as_json: AsJson = False,
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """Draw a year as a card to show to others."""
    from launcher.stats.card import card
    from launcher.stats.period import today
    from launcher.stats.picture import require_drawable, write_card
    from launcher.stats.rest import Usage

    settings = resolved_by(config, port=port, data_dir=data_dir).settings
    wanted = year or today(tz, settings.metrics.time_zone).year
    file = target or Path(f"lair-{wanted}.png")
    if not as_json:
        require_drawable(file)
    summed = Usage(settings, tz=tz, project=project, user=user).wrapped(wanted, private=private)
    if as_json:
        typer.echo(json.dumps(summed, ensure_ascii=False))
        return
    if not summed["requests"]:
        raise CommandFailedError(f"there were no requests in {wanted} to draw a card of")
    write_card(card(summed), file)
    typer.echo(f"wrote {file}")


def _named(target: Path | None, form: Format | None) -> str:
    """Return the format of an export, which its file's name may tell."""
    if form is not None:
        return form.value
    if target is None:
        return Format.CSV.value
    suffix = target.suffix.removeprefix(".").lower()
    if suffix not in {each.value for each in Format}:
        raise typer.BadParameter(
            f"{target.name} does not tell its format: name it .csv, .jsonl or .zip, or say --format"
        )
    return suffix
