"""`lair import`: bring the history of another program into lair."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from launcher.exits import CommandFailedError
from launcher.options import AsJson, ConfigFile, DataDir, HttpPort, resolved_by

if TYPE_CHECKING:  # who runs another command needs neither
    from launcher.importing.importer import Outcome, Wanted
    from svckit.settings import Settings

_SHOWN_FAULTS = 20
_STOPPED = 130  # as a shell says of what Ctrl-C ended

_HELP = """Bring the history of another program into lair.

\b
KIND         PATH
chatgpt      the export's .zip, or conversations.json
claude       the export of Claude.ai: .zip, or conversations.json
open-webui   a JSON export of chats, or webui.db
opencode     ~/.local/share/opencode, or opencode.db
claude-code  ~/.claude/projects, or one .jsonl
jsonl        a conversation in each line: {"messages": [...]}
auto         whichever of them the file looks like

What is there already is not added again, so the same command can be repeated: after Ctrl-C,
or with a newer export. docs/importing.md says where to find each history.
"""


KindName = Annotated[str, typer.Argument(metavar="KIND", help="What it is of; `auto` finds out.")]
File = Annotated[Path | None, typer.Argument(metavar="PATH", help="The file or folder.")]
User = Annotated[
    str, typer.Option("--user", help="Whose it becomes. Default: memory.default_user.")
]
Project = Annotated[
    str, typer.Option("--project", help="The project of all of it. Default: as it says.")
]
Person = Annotated[
    str, typer.Option("--person", help="Whose chats of an Open WebUI that several people use.")
]
NoMetrics = Annotated[bool, typer.Option("--no-metrics", help="Remember it, but do not count it.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Read it and say what there is; lair need not run.")
]


def import_history(
    *,
    kind: KindName,
    path: File = None,
    user: User = "",
    project: Project = "",
    person: Person = "",
    no_metrics: NoMetrics = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """Read the command line of `lair import`, import, and tell what came of it."""
    from launcher.importing import importer  # noqa: PLC0415  # `lair` itself starts at once

    if path is None:  # `lair import export.zip`
        kind, path = importer.AUTO, Path(kind)
    wanted = importer.Wanted(
        kind=importer.kind_of(kind, path),
        path=path,
        user=user,
        project=project,
        person=person,
        metrics=not no_metrics,
        dry_run=dry_run,
        quiet=as_json,
    )
    settings = resolved_by(config, port=port, data_dir=data_dir).settings
    _require_memory(settings, wanted)
    outcome = importer.run(settings, wanted)
    _print_json(wanted, outcome) if as_json else _print(wanted, outcome)
    if outcome.stopped:
        raise typer.Exit(_STOPPED)
    if not outcome.tally.conversations and not outcome.tally.counted:
        raise CommandFailedError(f"there is no conversation in {path} that could be read")


def register(app: typer.Typer) -> None:
    """Add the command to `lair`."""
    app.command(name="import", help=_HELP)(import_history)


def _require_memory(settings: Settings, wanted: Wanted) -> None:
    if not (settings.memory.enabled or wanted.dry_run):
        raise CommandFailedError(
            "lair keeps no conversations here (memory.enabled = false in lair.toml); change that, "
            "restart lair, and import then"
        )


def _print(wanted: Wanted, outcome: Outcome) -> None:
    tally = outcome.tally
    done = (
        "would import"
        if wanted.dry_run
        else "stopped while importing"
        if outcome.stopped
        else "imported"
    )
    _say(f"{done} {wanted.path} ({wanted.kind.program})")
    for name, count in tally.rows(sent=not wanted.dry_run):
        _say(f"  {name:<15}  {count:>9,}")
    for fault in tally.faults[:_SHOWN_FAULTS]:
        print(f"lair: {fault.where}: {fault.reason}", file=sys.stderr)  # noqa: T201  # our output
    if (more := tally.malformed - _SHOWN_FAULTS) > 0:
        print(f"lair: and {more:,} more; --json lists them", file=sys.stderr)  # noqa: T201  # as above
    if outcome.stopped:
        _say("  what was imported stays; the same command goes on from there")


def _print_json(wanted: Wanted, outcome: Outcome) -> None:
    told = {
        "kind": wanted.kind.name,
        "path": str(wanted.path),
        "dry_run": wanted.dry_run,
        "stopped": outcome.stopped,
        **outcome.tally.as_json(),
    }
    _say(json.dumps(told, ensure_ascii=False))


def _say(line: str) -> None:
    print(line)  # noqa: T201  # the command's own output
