"""Who asks: user, project, session and client, and what each was read from.

Pure. docs/identity.md has the order. A key's own user and project win over all else, and
a request that names another is refused. Without keys, which is on loopback only, what
clients say is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gateway.client_names import read_client
from lair.common.v1.caller_pb2 import (
    IDENTITY_SOURCE_BODY,
    IDENTITY_SOURCE_CLIENT,
    IDENTITY_SOURCE_CLIENT_HEADER,
    IDENTITY_SOURCE_CONVERSATION,
    IDENTITY_SOURCE_DEFAULT,
    IDENTITY_SOURCE_HEADER,
    IDENTITY_SOURCE_KEY,
    IDENTITY_SOURCE_PATH,
    IDENTITY_SOURCE_PROMPT,
    IDENTITY_SOURCE_REFERER,
    IDENTITY_SOURCE_UNSPECIFIED,
    Caller,
    IdentitySource,
)
from svckit.errors import ServiceError, invalid_field
from svckit.keys import ApiKey

MAX_VALUE_CHARS = 256
# What clients send anyway: Codex, Claude Code and Open WebUI their sessions, OpenAI's SDKs
# and programs made for OpenRouter their projects.
SESSION_HEADERS = ("Session-ID", "Thread-ID", "X-Claude-Code-Session-Id", "X-OpenWebUI-Chat-Id")
PROJECT_HEADERS = ("OpenAI-Project", "X-OpenRouter-Title", "X-Title")

_Found = tuple[str, IdentitySource.ValueType]


class Said(msgspec.Struct, frozen=True):
    """What a body says of its sender; any JSON, for lair has not checked it."""

    user: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None


_NOTHING_SAID = Said()
_SAID = msgspec.json.Decoder(Said)


@dataclass(frozen=True, slots=True)
class Clues:
    """What tells who asks beside the headers.

    `folder` returns the name of the folder that an agent works in, as its prompt tells it,
    and is called where nothing better names the project.
    """

    key: ApiKey | None = None
    path_project: str = ""
    said: Said = _NOTHING_SAID
    conversation_id: str = ""
    folder: Callable[[], str] = str


_NO_CLUES = Clues()


def read_said(extra_json: bytes) -> Said:
    """Read who sends a body from the fields of it that go on to the backend."""
    return _SAID.decode(extra_json) if extra_json else _NOTHING_SAID


def read_caller(headers: Mapping[str, str], clues: Clues = _NO_CLUES) -> Caller:
    """Read who asks; `headers` must look names up in any case.

    Raises INVALID_FIELD with the header's name, PERMISSION_DENIED where the key belongs to
    somebody else.
    """
    client = read_client(headers)
    user, user_source = _user(headers, clues)
    project, project_source = _project(headers, clues, client)
    session, session_source = _best(_sessions(headers, clues))
    return Caller(
        user_id=user,
        project=project,
        session_id=session,
        client=client,
        key_id=clues.key.id if clues.key else "",
        user_source=user_source,
        project_source=project_source,
        session_source=session_source,
    )


def header_value(headers: Mapping[str, str], name: str) -> str:
    """Return a header's value, empty if it is absent; refuse what no id can be."""
    value = headers.get(name)
    if not value:
        return ""
    value = value.strip()
    if len(value) > MAX_VALUE_CHARS:
        raise invalid_field(
            name,
            f"the header {name} has {len(value)} characters; send at most {MAX_VALUE_CHARS}",
        )
    if not value.isprintable():  # lone surrogates, which stand for bytes that are not UTF-8, too
        raise invalid_field(
            name,
            f"the header {name} holds control characters or is not UTF-8; send printable text",
        )
    return value


def legible(value: object) -> str:
    """Return a text that was not sent for us, made fit for an id; empty if it is no text."""
    if not isinstance(value, str):
        return ""
    value = value.strip()
    if not value.isprintable():
        value = "".join(char for char in value if char.isprintable())
    return value[:MAX_VALUE_CHARS]


def _user(headers: Mapping[str, str], clues: Clues) -> _Found:
    named = header_value(headers, "X-User-ID")
    if clues.key and clues.key.user_id:
        _refuse_other(clues.key.user_id, named, "X-User-ID", "header X-User-ID", "user")
        return clues.key.user_id, IDENTITY_SOURCE_KEY
    if named:
        return named, IDENTITY_SOURCE_HEADER
    said = legible(clues.said.safety_identifier) or legible(clues.said.user)
    return (said, IDENTITY_SOURCE_BODY) if said else ("", IDENTITY_SOURCE_DEFAULT)


def _project(headers: Mapping[str, str], clues: Clues, client: str) -> _Found:
    named, path = header_value(headers, "X-Project"), legible(clues.path_project)
    if clues.key and clues.key.project:
        _refuse_other(clues.key.project, named, "X-Project", "header X-Project", "project")
        _refuse_other(clues.key.project, path, "path", "path /p/…", "project")
        return clues.key.project, IDENTITY_SOURCE_KEY
    if named:
        return named, IDENTITY_SOURCE_HEADER
    return _best(_guessed_projects(headers, clues, path, client))


def _guessed_projects(
    headers: Mapping[str, str], clues: Clues, path: str, client: str
) -> Iterator[_Found]:
    yield path, IDENTITY_SOURCE_PATH
    yield _first(headers, PROJECT_HEADERS), IDENTITY_SOURCE_CLIENT_HEADER
    yield _host(headers.get("HTTP-Referer", "")), IDENTITY_SOURCE_REFERER
    yield legible(clues.folder()), IDENTITY_SOURCE_PROMPT
    yield client.partition("/")[0], IDENTITY_SOURCE_CLIENT


def _sessions(headers: Mapping[str, str], clues: Clues) -> Iterator[_Found]:
    yield header_value(headers, "X-Session-ID"), IDENTITY_SOURCE_HEADER
    yield _first(headers, SESSION_HEADERS), IDENTITY_SOURCE_CLIENT_HEADER
    yield legible(clues.said.prompt_cache_key), IDENTITY_SOURCE_BODY
    yield clues.conversation_id, IDENTITY_SOURCE_CONVERSATION


def _best(candidates: Iterator[_Found]) -> _Found:
    """Return the first that says anything; those behind it are not even looked at."""
    for found in candidates:
        if found[0]:
            return found
    return "", IDENTITY_SOURCE_UNSPECIFIED


def _refuse_other(own: str, named: str, field: str, where: str, what: str) -> None:
    """Refuse a request that speaks for another than its key belongs to."""
    if named and named != own:
        raise ServiceError(
            "PERMISSION_DENIED",
            f"the {where} names the {what} {named!r}, and the key belongs to another {what}; "
            "leave it out, or use a key that may",
            field=field,
        )


def _first(headers: Mapping[str, str], names: tuple[str, ...]) -> str:
    for name in names:
        if value := headers.get(name):
            return legible(value)
    return ""


@lru_cache(maxsize=256)  # there are few, and each sends its own with every request
def _host(address: str) -> str:
    try:
        return legible(urlsplit(address).hostname)
    except ValueError:  # no address at all
        return ""
