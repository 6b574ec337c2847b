"""How schemas are written by hand: short words for what most of them are made of."""

from __future__ import annotations

from gateway.openapi.operation import Schema

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
INTEGER: Schema = {"type": "integer"}
OBJECT: Schema = {"type": "object"}


def nullable(schema: Schema) -> Schema:
    """Allow null beside `schema`."""
    return {"anyOf": [schema, {"type": "null"}]}


def of(name: str) -> Schema:
    """Refer to another schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(description: str, required: dict[str, Schema], /, **optional: Schema) -> Schema:
    """Describe an object that may hold more."""
    return {
        "type": "object",
        "description": description,
        "properties": required | optional,
        "required": list(required),
    }


def listed(item: Schema, **limits: int) -> Schema:
    """Describe a list."""
    return {"type": "array", "items": item, **limits}


def one(word: str) -> Schema:
    """Describe a text that is always the same."""
    return {"type": "string", "const": word}
