"""`lair status`: how a running lair is, for people and for scripts."""

from __future__ import annotations

import json
import sys
from typing import Any

from launcher.addresses import base_url
from launcher.ask import UnreachableError, get, not_running
from launcher.report import Report, backend_lines, read
from svckit.settings import Settings

OK = 0
DEGRADED = 1
NOT_RUNNING = 2

_LIMIT_SECONDS = 5.0


def status(settings: Settings, *, as_json: bool) -> int:
    """Print how lair is; return `OK`, `DEGRADED` or `NOT_RUNNING`."""
    url = base_url(settings)
    try:
        body = get(f"{url}/health", seconds=_LIMIT_SECONDS).json()
    except UnreachableError:
        return _absent(str(not_running(url)), as_json=as_json)
    report = read(body)
    if report is None:
        return _absent(f"{url} answers, but is not lair", as_json=as_json)
    if as_json:
        _print(json.dumps(body, ensure_ascii=False))
    else:
        _print_report(url, report)
    return OK if report.ok else DEGRADED


def _print_report(url: str, report: Report) -> None:
    _print(f"lair is {'up' if report.ok else 'degraded'} at {url}")
    for name, state in report.services.items():
        _print(f"  {name:<8}  {report.memory if name == 'memory' else state}")
    for line in backend_lines(report.backends):
        _print(f"  backend   {line}")
    for fault in report.faults:
        _print(f"  {fault}")


def _absent(message: str, *, as_json: bool) -> int:
    if as_json:
        body: dict[str, Any] = {"status": "not running", "message": message}
        _print(json.dumps(body))
    else:
        print(f"lair: {message}", file=sys.stderr)  # noqa: T201  # the command's own output
    return NOT_RUNNING


def _print(line: str) -> None:
    print(line)  # noqa: T201  # the command's own output
