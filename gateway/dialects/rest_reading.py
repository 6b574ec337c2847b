"""Read a query string or a JSON body into the Struct that says what it may hold.

What is wrong is told by the field's name, as everywhere: INVALID_FIELD.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, NoReturn, TypeVar, get_args, get_origin

import msgspec
from google.protobuf.struct_pb2 import Struct as MetadataStruct

from gateway.dialects.json_body import decode_object, shown
from svckit.errors import invalid_field

# What one message of the contract may hold in another: three for each level of JSON.
MAX_METADATA_LEVELS = 8

_PLACE = re.compile(r"(?P<why>.*) - at `\$\.(?P<path>.*)`", re.DOTALL)
_NAMED = re.compile(r"(?P<what>missing required|contains unknown) field `(?P<name>[^`]*)`")
_STEP = re.compile(r"[^.\[\]]+")

# Bytes of a query string that are not UTF-8 come as lone surrogates.
_NO_TEXT = re.compile("[\ud800-\udfff]")

_Asked = TypeVar("_Asked", bound=msgspec.Struct)


def read_query(pairs: Iterable[tuple[str, str]], kind: type[_Asked]) -> _Asked:
    """Read a query string. An empty value is as good as none; unknown names are ignored."""
    lists = {field.encode_name for field in msgspec.structs.fields(kind) if _is_list(field.type)}
    names = {field.encode_name for field in msgspec.structs.fields(kind)}
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name not in names or not value:
            continue
        if _NO_TEXT.search(value):
            raise invalid_field(name, f"{name} is not UTF-8; send it percent-encoded as that")
        if name in lists:
            given.setdefault(name, []).append(value)
        else:
            given.setdefault(name, value)
    return _read(given, kind, strict=False)


def read_body(body: bytes, kind: type[_Asked]) -> _Asked:
    """Read a JSON body, in which every name must be known."""
    return _read(decode_object(body), kind, strict=True)


def metadata_struct(values: dict[str, Any]) -> MetadataStruct:
    """Return what a client wants to keep as the contract holds it."""
    if _levels(values) > MAX_METADATA_LEVELS:
        raise invalid_field(
            "metadata", f"metadata is nested deeper than {MAX_METADATA_LEVELS} levels; flatten it"
        )
    struct = MetadataStruct()
    try:
        struct.update(values)
    except OverflowError as error:
        raise invalid_field(
            "metadata", "metadata holds a number beyond 1e308; send it as text"
        ) from error
    return struct


def _is_list(kind: Any) -> bool:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return get_origin(kind) is list


def _read(given: dict[str, Any], kind: type[_Asked], *, strict: bool) -> _Asked:
    try:
        asked = msgspec.convert(given, kind, strict=strict)
    except msgspec.ValidationError as error:
        _refuse(str(error), given)
    return asked


def _refuse(problem: str, given: dict[str, Any]) -> NoReturn:
    """Word what msgspec found wrong."""
    if named := _NAMED.search(problem):
        name = named["name"]
        if named["what"].startswith("missing"):
            raise invalid_field(name, f"{name} is missing; send it")
        raise invalid_field(name, f"{name} is unknown here; leave it out")
    found = _PLACE.fullmatch(problem)
    assert found, "what is wrong with a value says where it is"
    path = found["path"]
    why = found["why"].replace("`", "")
    raise invalid_field(path, f"{path} is {shown(_at(given, path))}; {why[:1].lower()}{why[1:]}")


def _at(given: Any, path: str) -> Any:
    """Return what stands at a path as msgspec writes it."""
    value = given
    for step in _STEP.findall(path):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal():
            value = value[int(step)]
    return value


def _levels(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    children = value.values() if isinstance(value, dict) else value
    return 1 + max(map(_levels, children), default=0)
