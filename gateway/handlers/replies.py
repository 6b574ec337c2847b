"""What all handlers read and write alike: JSON replies, query parameters, whose data it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from aiohttp import web

from gateway.context import SETTINGS, key_of
from gateway.dialects.rest_queries import MAX_MESSAGE_ID
from gateway.identity import MAX_VALUE_CHARS, header_value
from svckit.errors import ServiceError, invalid_field

_NOT_FOUND = ("CONVERSATION_NOT_FOUND", "MESSAGE_NOT_FOUND")
_NUMBER = re.compile(r"[0-9]{1,19}")


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


def administers(request: web.Request) -> bool:
    """Tell whether the owner of the machine asks, or a key with the scope `admin`."""
    key = key_of(request)
    return key is None or "admin" in key.scopes


def narrowed_user(request: web.Request) -> str:
    """Return the user whose data a request is about: `X-User-ID`, or `?user_id=`.

    Empty for everyone's, which the owner of the machine sees, and a key that is bound to
    no user and may administer. Raises PERMISSION_DENIED where the key is another user's.
    """
    header = header_value(request.headers, "X-User-ID")
    query = query_text(request, "user_id")
    key = key_of(request)
    if key is None:
        return header or query
    if key.user_id:
        _refuse_other(key.user_id, header, "X-User-ID", "the header X-User-ID")
        _refuse_other(key.user_id, query, "user_id", "user_id")
        return key.user_id
    everyone = "" if "admin" in key.scopes else request.app[SETTINGS].memory.default_user
    return header or query or everyone


@contextmanager
def hinting_at_users(user_id: str) -> Iterator[None]:
    """Say how another user's data is reached, where nothing was found and no user was named."""
    try:
        yield
    except ServiceError as error:
        if user_id or error.reason not in _NOT_FOUND:
            raise
        hint = f"{error.message}; another user's is reached with that user's X-User-ID"
        raise ServiceError(error.reason, hint, **error.metadata) from error


def path_message_id(request: web.Request) -> int:
    """Return the number of the message that the path names."""
    value = request.match_info["message_id"]
    number = int(value) if _NUMBER.fullmatch(value) else 0
    if not 1 <= number <= MAX_MESSAGE_ID:
        raise invalid_field(
            "message_id", f"message_id is {value[:30]!r}; send the number of a message"
        )
    return number


def _refuse_other(own: str, named: str, field: str, where: str) -> None:
    if named and named != own:
        raise ServiceError(
            "PERMISSION_DENIED",
            f"{where} names {named!r}, and the API key is bound to another user; leave it out, "
            "or use a key that may speak for them",
            field=field,
        )
