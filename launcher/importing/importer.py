"""Imports one file or folder: reads it, sends what it holds, and tells how far that is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from launcher.exits import CommandFailedError
from launcher.importing.conversation import ImportedConversation, Malformed
from launcher.importing.kinds import KINDS, Kind, looks_like
from launcher.importing.sending import Delivery, delivering
from launcher.importing.source import Meter, Source, UnreadableError
from launcher.importing.tally import Tally
from launcher.importing.turns import turns_of
from launcher.importing.wire import Owner, sendable
from svckit.settings import Settings

AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to import, for whom, and how."""

    kind: Kind
    path: Path
    user: str = ""
    project: str = ""
    person: str = ""
    metrics: bool = True
    dry_run: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an import; `stopped` where a person stopped it."""

    tally: Tally
    stopped: bool


def kind_of(name: str, path: Path) -> Kind:
    """Return the kind that was named, or that the file has. Raises `CommandFailedError`."""
    if name not in (AUTO, *KINDS):
        raise CommandFailedError(f"there is no kind {name!r}; choose of: {', '.join(KINDS)}")
    if name == AUTO and str(path) in KINDS:  # `lair import chatgpt`, and no more
        raise CommandFailedError(f"say what to import: lair import {path} PATH")
    if not path.exists():
        raise CommandFailedError(f"there is no file or folder {path}")
    try:
        likely = looks_like(path)
    except UnreadableError as error:
        raise CommandFailedError(str(error)) from error
    if likely and name not in (AUTO, likely.name):
        raise CommandFailedError(
            f"{path} is no history of {KINDS[name].program}; it looks like one of "
            f"{likely.program}: lair import {likely.name} {path}"
        )
    if name == AUTO and not likely:
        raise CommandFailedError(
            f"cannot tell what {path} is; name its kind: lair import KIND {path}, where KIND is "
            f"one of {', '.join(KINDS)}"
        )
    return likely or KINDS[name]


def run(settings: Settings, wanted: Wanted) -> Outcome:
    """Import what is wanted. Raises `CommandFailedError` where nothing of it could be read."""
    tally = Tally()
    try:
        with _progress(wanted) as moved, _sink(settings, wanted, tally) as delivery:
            for each in _read(Source(wanted.path, Meter(moved), wanted.person), wanted.kind, tally):
                _take(each, settings, wanted, tally, delivery)
            if delivery:
                delivery.flush()
    except KeyboardInterrupt:
        return Outcome(tally, stopped=True)
    return Outcome(tally, stopped=False)


def _read(source: Source, kind: Kind, tally: Tally) -> Iterator[ImportedConversation | Malformed]:
    """Read to the end, or to where the source breaks; what came before is imported."""
    try:
        yield from kind.read(source)
    except (UnreadableError, OSError) as error:
        if not tally.conversations:
            raise CommandFailedError(str(error)) from error
        yield Malformed(source.path.name, str(error))


def _take(
    each: ImportedConversation | Malformed,
    settings: Settings,
    wanted: Wanted,
    tally: Tally,
    delivery: Delivery | None,
) -> None:
    if isinstance(each, Malformed):
        tally.refuse(each)
        return
    if not each.messages:  # begun, and nothing said
        return
    turns = turns_of(each)
    tally.conversations += each.remembered
    told = sum(turn.new for turn in turns)
    tally.messages += told * each.remembered
    tally.turns += len(turns) * each.remembered
    if told < len(each.messages):
        lost = len(each.messages) - told
        tally.refuse(Malformed(each.where, f"{lost} of its messages follow none, or one another"))
    if delivery is None:
        return
    for item in sendable(each, turns, _owner(each, settings, wanted)):
        delivery.add(item)


def _owner(each: ImportedConversation, settings: Settings, wanted: Wanted) -> Owner:
    return Owner(
        user=wanted.user or each.user or settings.memory.default_user,
        kind=wanted.kind.name,
        project=wanted.project,
        at_us=wanted.path.stat().st_mtime_ns // 1000,
    )


@contextmanager
def _sink(settings: Settings, wanted: Wanted, tally: Tally) -> Iterator[Delivery | None]:
    """Connect to lair; a dry run needs none."""
    metrics = wanted.metrics and settings.metrics.enabled
    sink = delivering(settings, tally, metrics=metrics) if not wanted.dry_run else nullcontext()
    with sink as delivery:
        yield delivery


@contextmanager
def _progress(wanted: Wanted) -> Iterator[Callable[[int], None]]:
    """Show how many bytes were read, on the terminal's side of the output."""
    if wanted.quiet:
        yield lambda _: None
        return
    bar = Progress(
        TextColumn("reading"),
        BarColumn(),
        TaskProgressColumn(),
        DownloadColumn(binary_units=True),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    with bar:
        task = bar.add_task("reading", total=wanted.kind.size_of(wanted.path) or None)
        yield lambda count: bar.update(task, advance=count)
