"""Ask a running lair by HTTP, with the standard library alone.

The commands that use it begin, ask once and end; they have no event loop.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from launcher.exits import CommandFailedError

# lair is on this machine; a proxy of the environment cannot reach it.
_OPENER = build_opener(ProxyHandler({}))


class UnreachableError(Exception):
    """Nobody answers there, or not in time, or not in HTTP."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer whose body may still be coming. Close it."""

    status: int
    headers: Message[str, str]
    body: HTTPResponse | HTTPError

    def json(self) -> Any:
        """Return the whole body as JSON; None if it is none."""
        with self.body:
            try:
                return json.loads(self.body.read())
            except ValueError:
                return None


def get(url: str, *, seconds: float) -> Reply:
    """Ask for `url`. Raises `UnreachableError`."""
    return _send(Request(url), seconds)  # noqa: S310  # the URL is ours


def post(url: str, body: object, headers: Mapping[str, str], *, seconds: float) -> Reply:
    """Send `body` as JSON; `seconds` limit each silence. Raises `UnreachableError`."""
    data = json.dumps(body).encode()
    headers = {**headers, "Content-Type": "application/json"}
    return _send(Request(url, data, dict(headers)), seconds)  # noqa: S310  # the URL is ours


def _send(request: Request, seconds: float) -> Reply:
    try:
        body = _OPENER.open(request, timeout=seconds)
    except HTTPError as error:
        return Reply(error.code, error.headers, error)
    except (URLError, HTTPException, OSError) as error:
        raise UnreachableError(str(getattr(error, "reason", error))) from error
    return Reply(body.status, body.headers, body)


def not_running(url: str) -> CommandFailedError:
    """Word the failure that a person meets most."""
    return CommandFailedError(f"lair is not running at {url}; start it with: lair up")
