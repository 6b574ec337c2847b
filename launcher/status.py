"""`lair status`: how a running lair is, for people and for scripts."""

from __future__ import annotations

import json
import sys
from typing import Any

from launcher.addresses import base_url
from launcher.ask import KEY_VARIABLE, UnreachableError, get, not_running
from launcher.clock import local_time
from launcher.report import NONE_FOUND, Backend, Report, models_of, read
from launcher.tables import Column, Room, print_table
from svckit.settings import Settings

OK = 0
DEGRADED = 1
NOT_RUNNING = 2

_LIMIT_SECONDS = 5.0
_NAMED_MODELS = 1
_COLUMNS = (
    Column("backend"),
    Column("health"),
    Column("auto"),
    Column("busy", right=True),
    Column("waiting", right=True),
    Column("tokens/s", right=True),
    Column("device"),
    Column("models", Room.CUT),
    Column("last error", Room.CUT),
)


def status(settings: Settings, *, as_json: bool) -> int:
    """Print how lair is; return `OK`, `DEGRADED` or `NOT_RUNNING`."""
    url = base_url(settings)
    try:
        reply = get(settings, "/health", seconds=_LIMIT_SECONDS)
        body = reply.json()
    except UnreachableError:
        return _absent(str(not_running(url)), as_json=as_json)
    report = read(body)
    wants_key = 'realm="lair"' in reply.headers.get("www-authenticate", "")
    if report is None and not wants_key:
        return _absent(f"{url} answers, but is not lair", as_json=as_json)
    if as_json:
        _print(json.dumps(body, ensure_ascii=False))
    elif report is None:
        _print(f"lair is {body['status']} at {url}; it tells more to a key with the scope admin:")
        _print(f"  set {KEY_VARIABLE}, or run this as the user and with the data_dir of lair up")
    else:
        _print_report(url, report)
    return OK if body.get("status") == "ok" else DEGRADED


def _print_report(url: str, report: Report) -> None:
    _print(f"lair is {'up' if report.ok else 'degraded'} at {url}")
    for name, state in report.services.items():
        _print(f"  {name:<8}  {report.memory if name == 'memory' else state}")
    if not any(backend.url for backend in report.backends):
        _print(f"  backends  {NONE_FOUND}")
    if report.backends:
        _print("")
        print_table(_COLUMNS, [_row(backend) for backend in report.backends])
    if report.faults:
        _print("")
    for fault in report.faults:
        _print(f"  {fault}")


def _row(backend: Backend) -> tuple[str, ...]:
    speed = backend.tokens_per_second
    return (
        backend.name,
        backend.state,
        _in_choice(backend),
        f"{backend.in_flight}/{backend.slots}" if backend.slots else str(backend.in_flight),
        str(backend.queued),
        "" if speed is None else f"{speed:.1f}",
        backend.device,
        models_of(backend, named=_NAMED_MODELS),
        ": ".join(part for part in (backend.resting, backend.last_error) if part),
    )


def _in_choice(backend: Backend) -> str:
    """Say whether automatic choice takes the backend, or how long gaming mode keeps it."""
    if not backend.gaming:
        return "no" if backend.alone else "yes"
    until = backend.alone_until
    return f"gaming until {local_time(until)}" if until else "gaming"


def _absent(message: str, *, as_json: bool) -> int:
    if as_json:
        body: dict[str, Any] = {"status": "not running", "message": message}
        _print(json.dumps(body))
    else:
        print(f"lair: {message}", file=sys.stderr)  # noqa: T201  # the command's own output
    return NOT_RUNNING


def _print(line: str) -> None:
    print(line)  # noqa: T201  # the command's own output
