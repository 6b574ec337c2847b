"""The one screen that `lair up` shows when everything answers."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from launcher.addresses import base_url
from launcher.lasting import lost_with
from launcher.report import Report, backend_lines
from svckit.settings import Settings

_LABEL_WIDTH = 10


def show(settings: Settings, report: Report | None) -> None:
    """Print where lair is and what it found; plain text where stdout is no terminal."""
    console = Console(soft_wrap=True, highlight=False)
    console.print()
    console.print(Text.assemble("lair is ready: ", (f"{base_url(settings)}/v1", "bold green")))
    console.print()
    for label, value in lines(settings, report):
        console.print(Text.assemble("  ", (f"{label:<{_LABEL_WIDTH}}", "dim"), value))
    console.print()


def lines(settings: Settings, report: Report | None) -> Iterator[tuple[str, str]]:
    """Yield label and text of each line; a repeated label is left empty."""
    label = "backends"
    for line in backend_lines(report.backends) if report else ("not known yet; see lair status",):
        yield label, line
        label = ""
    yield "memory", report.memory if report else "not known yet"
    label = "gRPC"
    for service in ("router", "memory", "metrics"):
        yield label, f"{service:<8}{settings.listen(service)}"
        label = ""
    yield "dashboard", f"{base_url(settings)}/metrics/dashboard"
    yield "data", str(settings.data_dir)
    if gone := lost_with(settings.data_dir.resolve()):
        yield "", f"this is lost with {gone}: mount a volume there, or set data_dir"
    yield "stop", "Ctrl-C"
