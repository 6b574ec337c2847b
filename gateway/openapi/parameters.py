"""What an operation takes beside its body: in its path, its query and its headers."""

from __future__ import annotations

import re

from gateway.dialects.json_extra import INT32_MAX
from gateway.dialects.rest_queries import MAX_MESSAGE_ID
from gateway.handlers import docs
from gateway.headers import REQUEST_HEADERS
from gateway.identity import MAX_VALUE_CHARS
from gateway.openapi.components import struct_schemas
from gateway.openapi.operation import Operation, Schema, Shape
from gateway.openapi.schemas import SCHEMAS

_NAME = {"type": "string", "maxLength": MAX_VALUE_CHARS}
_FLAG = {"type": "string", "enum": ["true", "false", "1", "0"]}
_IN_HEADER = {"type": "string", "pattern": r"^[ -~]*$", "maxLength": MAX_VALUE_CHARS}
_HEADERS: dict[str, Schema] = {
    "X-Local-Only": _FLAG,
    "X-Enable-Memory": _FLAG,
    "X-Enable-Tracing": _FLAG,
    "X-Memory-Policy": {"type": "string", "enum": ["off", "store", "recall", "full"]},
    "X-Priority": {"type": "string", "enum": ["interactive", "agent", "batch"]},
    "X-Max-Context": {"type": "integer", "minimum": 1, "maximum": INT32_MAX},
}
_IN_PATH = _NAME | {"minLength": 1, "pattern": r"^[^\x00-\x1f\x7f-\x9f]+$"}
_PATH: dict[str, Schema] = {
    "file": {"type": "string", "enum": sorted(docs.FILES)},
    "message_id": {"type": "integer", "minimum": 1, "maximum": MAX_MESSAGE_ID},
    "year": {"type": "integer", "minimum": 1971, "maximum": 9998},
}
_USER = "X-User-ID"


def parameters(path: str, operation: Operation) -> list[Schema]:
    """List the parameters of `operation` under `path`."""
    names = [_USER] if operation.personal else []
    if operation.model_call:
        names = list(REQUEST_HEADERS)
    return [
        *(_parameter("path", name, _PATH.get(name, _IN_PATH)) for name in _in_path(path)),
        *(_query(operation.query) if operation.query is not None else ()),
        *([_user_id()] if operation.personal else ()),
        *(
            _parameter("header", name, {"description": _sentence(name)} | _header(name))
            for name in names
        ),
    ]


def _in_path(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)


def _query(shape: Shape) -> list[Schema]:
    schema = SCHEMAS[shape] if isinstance(shape, str) else struct_schemas([shape])[shape.__name__]
    required = schema.get("required", ())
    return [
        _parameter("query", name, value, required=name in required)
        for name, value in schema["properties"].items()
    ]


def _user_id() -> Schema:
    return _parameter("query", "user_id", _IN_HEADER | {"description": f"The same as {_USER}."})


def _header(name: str) -> Schema:
    return _HEADERS.get(name, _IN_HEADER)


def _sentence(name: str) -> str:
    text = REQUEST_HEADERS[name]
    return f"{text[:1].upper()}{text[1:]}."


def _parameter(where: str, name: str, schema: Schema, *, required: bool = False) -> Schema:
    """Write one parameter; what its schema describes is told of the parameter itself."""
    plain = {key: value for key, value in schema.items() if key != "description"}
    out: Schema = {"name": name, "in": where, "required": required or where == "path"}
    if "description" in schema:
        out["description"] = schema["description"]
    if plain.get("type") == "object":
        out |= {"style": "deepObject", "explode": True}  # name[key]=value
    return out | {"schema": plain}
