"""What all handlers read and write alike: JSON replies, query parameters."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from gateway.identity import MAX_VALUE_CHARS, header_value
from svckit.errors import invalid_field


def json_reply(value: Any, *, status: int = 200) -> web.Response:
    """Reply with a value as JSON."""
    return raw_json_reply(msgspec.json.encode(value), status=status)


def raw_json_reply(
    body: bytes, *, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """Reply with JSON that is written already."""
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def query_text(request: web.Request, name: str) -> str:
    """Return a query parameter, empty if it is absent."""
    value = request.query.get(name, "")
    if len(value) > MAX_VALUE_CHARS or not value.isprintable():
        raise invalid_field(
            name, f"{name} must be printable text of at most {MAX_VALUE_CHARS} characters"
        )
    return value


def query_count(request: web.Request, name: str, *, maximum: int) -> int:
    """Return a query parameter that is a count from 1; 0 if it is absent."""
    value = request.query.get(name)
    if value is None:
        return 0
    if not (value.isascii() and value.isdecimal() and 1 <= int(value) <= maximum):
        raise invalid_field(name, f"{name} is {value!r}; send a number from 1 to {maximum}")
    return int(value)


def narrowed_user(request: web.Request) -> str:
    """Return the user a request narrows itself to: `X-User-ID`, or `?user_id=`.

    Empty for the owner of the machine, who sees everyone's.
    """
    return header_value(request.headers, "X-User-ID") or query_text(request, "user_id")
