"""Ask a running lair by HTTP, with the standard library alone.

The commands that use it begin, ask once and end; they have no event loop. They show
`LAIR_API_KEY` if there is one, else the token that the gateway leaves for its owner.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from launcher import sse
from launcher.addresses import base_url
from launcher.exits import CommandFailedError
from svckit.keys import owner_file
from svckit.settings import Settings

KEY_VARIABLE = "LAIR_API_KEY"

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


def get(settings: Settings, path: str, *, seconds: float) -> Reply:
    """Ask lair for `path`. Raises `UnreachableError`."""
    return _send(settings, path, None, {}, seconds)


def post(
    settings: Settings, path: str, body: object, headers: Mapping[str, str], *, seconds: float
) -> Reply:
    """Send lair `body` as JSON; `seconds` limit each silence. Raises `UnreachableError`."""
    data = json.dumps(body).encode()
    return _send(settings, path, data, {**headers, "Content-Type": "application/json"}, seconds)


def answer(settings: Settings, path: str, body: object = None, *, seconds: float) -> Any:
    """Return the JSON object that lair answers; `body` is posted if there is one.

    Raises `CommandFailedError` with lair's own words where it refuses.
    """
    base = base_url(settings)
    try:
        if body is None:
            reply = get(settings, path, seconds=seconds)
        else:
            reply = post(settings, path, body, {}, seconds=seconds)
        require_ok(reply, base)
        value = reply.json()
    except UnreachableError as error:
        raise not_running(base) from error
    except (OSError, HTTPException) as error:
        raise CommandFailedError(f"{base}: the answer broke off: {error}") from error
    if not isinstance(value, Mapping):
        raise CommandFailedError(f"{base} answers, but is not lair")
    return value


def require_ok(reply: Reply, base: str) -> None:
    """Raise `CommandFailedError` with what `reply` says unless its status is 200."""
    if reply.status != 200:  # noqa: PLR2004  # HTTP's OK
        message = sse.error_message(reply.json())
        raise CommandFailedError(message or f"{base} answered with HTTP status {reply.status}")


def not_running(url: str) -> CommandFailedError:
    """Word the failure that a person meets most."""
    return CommandFailedError(f"lair is not running at {url}; start it with: lair up")


def _send(
    settings: Settings,
    path: str,
    data: bytes | None,
    headers: Mapping[str, str],
    seconds: float,
) -> Reply:
    url, shown = base_url(settings) + path, {**headers, **_credentials(settings)}
    request = Request(url, data, shown)  # noqa: S310  # the URL is ours
    try:
        body = _OPENER.open(request, timeout=seconds)
    except HTTPError as error:
        return Reply(error.code, error.headers, error)
    except (URLError, HTTPException, OSError) as error:
        raise UnreachableError(str(getattr(error, "reason", error))) from error
    return Reply(body.status, body.headers, body)


def _credentials(settings: Settings) -> dict[str, str]:
    secret = os.environ.get(KEY_VARIABLE) or _owner_token(settings)
    return {"Authorization": f"Bearer {secret}"} if secret else {}


def _owner_token(settings: Settings) -> str:
    try:
        return owner_file(settings.data_dir).read_text(encoding="ascii").strip()
    except (OSError, ValueError):  # none is needed unless there are keys; lair says so then
        return ""
