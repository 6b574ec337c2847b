"""All schemas that are written by hand: lair's own few, and those of other people's APIs."""

from __future__ import annotations

from zoneinfo import available_timezones

from gateway.identity import MAX_VALUE_CHARS
from gateway.openapi.operation import Schema
from gateway.openapi.schemas_anthropic import ANTHROPIC
from gateway.openapi.schemas_chat import CHAT
from gateway.openapi.schemas_stored import STORED
from gateway.openapi.shapes import FLAG, OBJECT, TEXT, nullable, record
from svckit.errors import TABLE

_SWITCH: Schema = {"type": "string", "enum": ["true", "false", "1", "0"]}
_NAME: Schema = {
    "type": "string",
    "maxLength": MAX_VALUE_CHARS,
    "pattern": "^[ -~]*$",
}
_DURATION: Schema = {
    "type": "string",
    "pattern": "^([1-9][0-9]?h)?[1-9][0-9]?m$",
    "description": "How long: 30m, 1h30m; of `d`, `h`, `m` and `s` any in this order.",
}

SCHEMAS: dict[str, Schema] = {
    **CHAT,
    **STORED,
    **ANTHROPIC,
    "Error": record(
        "A failure, as the OpenAI API words it.",
        {
            "error": record(
                "What went wrong.",
                {
                    "message": TEXT,
                    "type": {"enum": sorted({meaning.type for meaning in TABLE.values()})},
                    "param": nullable({"type": "string", "description": "The field at fault."}),
                    "code": nullable(TEXT),
                },
            )
        },
    ),
    "Event": record(
        "One event of the stream: JSON, or `[DONE]`. Comment lines between events keep the "
        "connection alive.",
        {"data": TEXT},
        event=TEXT,
    ),
    "Text": TEXT,
    "TimeZone": {"type": "string", "enum": sorted(available_timezones())},
    "OpenAPI": record("This document.", {"openapi": TEXT, "info": OBJECT, "paths": OBJECT}),
    "GamingQuery": record(
        "Whether `auto` leaves local backends alone.",
        {"enable": _SWITCH},
        backend=_NAME,
        unload=_SWITCH,
        **{"for": _DURATION},
    ),
    "GamingSwitch": record(
        "Whether `auto` leaves local backends alone. Query and body say the same; where both "
        "do, the query counts.",
        {},
        enable={"anyOf": [FLAG, _SWITCH]},
        backend=nullable(_NAME),
        unload=nullable({"anyOf": [FLAG, _SWITCH]}),
        **{"for": nullable(_DURATION)},
    )
    | {"additionalProperties": False},
}
