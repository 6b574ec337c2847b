# ruff: noqa: PLC0415  # `lair` itself starts at once
"""The commands `lair backup` and `lair restore`."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from launcher.options import AsJson, ConfigFile, DataDir, resolved_by

Target = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="Where to write it. Default: ./lair-<now>.zip"),
]
Source = Annotated[Path, typer.Argument(metavar="FILE", help="What `lair backup` wrote.")]
Replace = Annotated[
    bool, typer.Option("--replace", help="Put aside what is there now, and restore.")
]


def backup(
    *,
    target: Target = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Write memory, metrics and keys into one file, while lair runs or not.

    It is not encrypted, and keeps what is forgotten later: look after it.
    """
    from launcher.backup.making import make

    target = target or Path(f"lair-{datetime.now().astimezone():%Y-%m-%d-%H%M}.zip")
    parts = make(resolved_by(config, data_dir=data_dir).settings, target)
    if as_json:
        files = [{"name": part.name, "bytes": part.bytes} for part in parts]
        typer.echo(json.dumps({"path": str(target), "files": files}))
        return
    typer.echo(f"kept in {target} ({target.stat().st_size / 1e6:,.1f} MB):")
    for part in parts:
        typer.echo(f"  {part.name:<24}  {part.bytes / 1e6:>9,.1f} MB")


def restore(
    *,
    source: Source,
    replace: Replace = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Bring back what `lair backup` wrote; lair must not run meanwhile."""
    from launcher.backup.restoring import restore as run_restore

    settings = resolved_by(config, data_dir=data_dir).settings
    done = run_restore(settings, source, replace=replace)
    aside = str(done.aside) if done.aside else None
    if as_json:
        told = {"made_at": done.made_at, "files": len(done.parts), "aside": aside}
        typer.echo(json.dumps({"data_dir": str(settings.data_dir), **told}))
        return
    typer.echo(f"restored {settings.data_dir} as it was at {done.made_at}")
    if aside:
        typer.echo(f"what was there before is in {aside}")


def register(app: typer.Typer) -> None:
    """Add the commands to `lair`."""
    app.command()(backup)
    app.command()(restore)
