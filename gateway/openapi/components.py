"""The parts of the document that operations refer to: schemas, errors, headers, keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from gateway.dialects.errors import anthropic_type
from gateway.headers import RESPONSE_HEADERS
from gateway.openapi.operation import ANTHROPIC_ERROR, JSON, Operation, Schema, Shape
from gateway.openapi.schemas import SCHEMAS
from svckit.errors import TABLE

_REQUEST_ID = "x-request-id"
_ERROR_HEADERS = (_REQUEST_ID, "x-should-retry", "retry-after")
_CLIENTS_FAULTS = range(400, 500)
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key of `lair keys create`."},
    "api_key": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "The same key, as Anthropic's clients send it.",
    },
}


def components(operations: Iterable[Operation]) -> Schema:
    """Collect all that `operations` refer to."""
    operations = list(operations)
    kinds = {kind for operation in operations for kind in _structs(operation)}
    ordered = sorted(kinds, key=lambda kind: kind.__name__)
    return {
        "schemas": SCHEMAS | struct_schemas(ordered),
        "responses": {
            f"{fault}{error}": _failure(error, fault)
            for error in sorted({operation.error for operation in operations})
            for fault in ("Client", "Server")
        },
        "headers": {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in RESPONSE_HEADERS.items()
        },
        "securitySchemes": _SECURITY,
    }


def struct_schemas(kinds: Iterable[type[Struct]]) -> dict[str, Any]:
    """Return the schemas of Structs and of all they hold, by name."""
    _, found = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    return found


def schema_of(shape: Shape) -> Schema:
    """Refer to the schema of a Struct, or to the one of this name."""
    name = shape if isinstance(shape, str) else shape.__name__
    return reference("schemas", name)


def reference(section: str, name: str) -> Schema:
    """Refer to a part of the document."""
    return {"$ref": f"#/components/{section}/{name}"}


def response_headers(*, of_model: bool) -> Schema:
    """Name the headers of an answer."""
    names = [name for name in RESPONSE_HEADERS if name not in _ERROR_HEADERS] if of_model else []
    return _headers([_REQUEST_ID, *names])


def _structs(operation: Operation) -> Iterable[type[Struct]]:
    shapes = (operation.reply, operation.body, *operation.other.values())
    return (shape for shape in shapes if isinstance(shape, type))


def _failure(error: str, fault: str) -> Schema:
    """Describe an answer that says what went wrong, by whose fault it is."""
    theirs = error == ANTHROPIC_ERROR
    words = {
        (meaning.http, anthropic_type(meaning.http) if theirs else meaning.code or meaning.type)
        for meaning in TABLE.values()
        if (meaning.http in _CLIENTS_FAULTS) == (fault == "Client")
    }
    listed = ", ".join(f"{status} `{word}`" for status, word in sorted(words))
    return {
        "description": f"What went wrong: {listed}.",
        "headers": _headers(_ERROR_HEADERS),
        "content": {JSON: {"schema": reference("schemas", error)}},
    }


def _headers(names: Iterable[str]) -> Schema:
    return {name: reference("headers", name) for name in names}
