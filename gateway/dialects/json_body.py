"""Read a request's body: one JSON object, or an error that says where it breaks."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from svckit.errors import ServiceError
from svckit.json_depth import MAX_DEPTH, is_deep

_BOM = b"\xef\xbb\xbf"
_POSITION = re.compile(r" \(byte (\d+)\)$")


def decode_object(body: bytes) -> dict[str, Any]:
    """Decode a body that must be a JSON object; raise INVALID_BODY where it is not."""
    body = body.removeprefix(_BOM)
    if not body.strip():
        raise ServiceError("INVALID_BODY", "the body is empty; send a JSON object")
    try:
        value = msgspec.json.decode(body)
    except RecursionError as error:
        raise _too_deep() from error
    except UnicodeDecodeError as error:
        raise ServiceError(
            "INVALID_BODY", "the body is not valid UTF-8; encode the JSON as UTF-8"
        ) from error
    except msgspec.DecodeError as error:
        raise ServiceError(
            "INVALID_BODY", f"the body is not valid JSON: {_explain(str(error), body)}"
        ) from error
    if not isinstance(value, dict):
        raise ServiceError(
            "INVALID_BODY", f"the body is {shown(value)}; send a JSON object, like {{…}}"
        )
    if is_deep(value, body):
        raise _too_deep()
    return value


def shown(value: object) -> str:
    """Word a JSON value for an error message: short, and never a whole prompt."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:60]}…"  # noqa: PLR2004  # about a line


def _explain(message: str, body: bytes) -> str:
    if " - at `" in message:  # a number, wherever it stands
        return message.partition(" - at `")[0].lower()
    found = _POSITION.search(message)
    position = int(found[1]) if found else len(body)
    before = body[:position]
    line = before.count(b"\n") + 1
    column = position - (before.rfind(b"\n") + 1) + 1
    reason = message[: found.start()] if found else message
    reason = reason.removeprefix("JSON is malformed: ").lower()
    return f"{reason} at line {line}, column {column}"


def _too_deep() -> ServiceError:
    return ServiceError(
        "INVALID_BODY", f"the body is nested deeper than {MAX_DEPTH} levels; send flatter JSON"
    )
