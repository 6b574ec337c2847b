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
from http import HTTPStatus
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


class AnsweredError(CommandFailedError):
    """lair answered, but not with what was asked for: `status` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


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
    return _send(settings, "GET", path, None, {}, seconds=seconds)


def post(
    settings: Settings, path: str, body: object, headers: Mapping[str, str], *, seconds: float
) -> Reply:
    """Send lair `body` as JSON; `seconds` limit each silence. Raises `UnreachableError`."""
    return _send_json(settings, "POST", path, body, headers, seconds=seconds)


def answer(
    settings: Settings, path: str, body: object = None, *, seconds: float, method: str = ""
) -> Any:
    """Return the JSON object that lair answers; `body` is posted if there is one.

    Raises `CommandFailedError` with lair's own words where it refuses.
    """
    base = base_url(settings)
    try:
        if body is None:
            reply = _send(settings, method or "GET", path, None, {}, seconds=seconds)
        else:
            reply = _send_json(settings, method or "POST", path, body, {}, seconds=seconds)
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
    """Raise `AnsweredError` with what `reply` says unless its status is OK or Created."""
    if reply.status not in (HTTPStatus.OK, HTTPStatus.CREATED):
        message = sse.error_message(reply.json())
        raise AnsweredError(
            message or f"{base} answered with HTTP status {reply.status}", reply.status
        )


def not_running(url: str) -> CommandFailedError:
    """Word the failure that a person meets most."""
    return CommandFailedError(f"lair is not running at {url}; start it with: lair up")


def _send_json(
    settings: Settings,
    method: str,
    path: str,
    body: object,
    headers: Mapping[str, str],
    *,
    seconds: float,
) -> Reply:
    data, shown = json.dumps(body).encode(), {**headers, "Content-Type": "application/json"}
    return _send(settings, method, path, data, shown, seconds=seconds)


def _send(
    settings: Settings,
    method: str,
    path: str,
    data: bytes | None,
    headers: Mapping[str, str],
    *,
    seconds: float,
) -> Reply:
    url, shown = base_url(settings) + path, {**headers, **_credentials(settings)}
    request = Request(url, data, shown, method=method)  # noqa: S310  # the URL is ours
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
