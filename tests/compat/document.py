"""The official OpenAI document as a judge: what is wrong with a reply or a chunk of a stream.

Where the document is not at hand, the types of the `openai` package judge instead
(`strict_models.py`). Which schema is meant for what is `operations.py`'s business.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema_rs import Draft202012Validator, Registry

from tests.compat import strict_models

ROOT = Path(__file__).resolve().parents[2]
PATH_VARIABLE = "LAIR_OPENAI_DOCUMENT"
_BESIDE = Path("shared") / "data" / "openai-openapi" / "openapi-2.3.0.json.gz"
_URI = "urn:openai"
_SCHEMAS = "/components/schemas/"
_WHOLE = "x-whole"
_MOST_MESSAGES = 3

# Returns what is wrong with a value that should be like the schema of this name.
Judge = Callable[[str, Any], list[str]]


def judge() -> Judge:
    """Return the strictest judge there is here."""
    path = document_path()
    return official(path) if path else strict_models.violations


def document_path() -> Path | None:
    """Return where the official document is: as the environment says, or beside us."""
    said = os.environ.get(PATH_VARIABLE)
    if said:
        return Path(said)
    beside = ROOT.parent / _BESIDE
    return beside if beside.exists() else None


@cache
def official(path: Path) -> Judge:
    """Return the judge that goes by the document at `path`."""
    document = with_type_unions(json.loads(gzip.decompress(path.read_bytes())))
    registry = Registry([(_URI, document)])
    schemas = document["components"]["schemas"]

    @cache
    def validator(name: str) -> Any:
        assert name in schemas, f"the document has no schema {name}"
        schema = {"$ref": f"{_URI}#{_SCHEMAS}{name}"}
        return Draft202012Validator(schema, registry=registry, keywords={_WHOLE: _Whole})

    def violations(name: str, value: Any) -> list[str]:
        kind = _member(schemas, name, value)
        if kind is None:
            return [f"{name}: no member has the type {value.get('type')!r}"]
        return [_message(name, error) for error in validator(kind).iter_errors(value)]

    return violations


def with_type_unions(value: Any) -> Any:
    """Rewrite `nullable: true`, which JSON Schema of today does not know, as a type union.

    Where a number has to be an integer, it is marked as one that may not be written 1.0.
    """
    if isinstance(value, list):
        return [with_type_unions(item) for item in value]
    if not isinstance(value, dict):
        return value
    rewritten = {
        name: with_type_unions(item)
        for name, item in value.items()
        if name not in ("example", "examples", "x-oaiMeta")
    }
    if rewritten.get("type") == "integer":
        rewritten[_WHOLE] = True
    if rewritten.get("nullable") is not True:
        return rewritten
    del rewritten["nullable"]
    if "enum" in rewritten and None not in rewritten["enum"]:
        rewritten["enum"] = [*rewritten["enum"], None]
    kind = rewritten.get("type")
    if isinstance(kind, str):
        return {**rewritten, "type": [kind, "null"]}
    if isinstance(kind, list):
        return {**rewritten, "type": [*dict.fromkeys([*kind, "null"])]}
    return {"anyOf": [rewritten, {"type": "null"}]}


def _member(schemas: dict[str, Any], name: str, value: Any) -> str | None:
    """Return the one member of a union by `type` that a value should be like.

    Judged by that one, an event's violation names its field instead of all 58 members.
    """
    members = [each.get("$ref", "") for each in schemas[name].get("anyOf", ())]
    if not all(members) or not members or not isinstance(value, dict):
        return name
    for member in (each.rpartition("/")[2] for each in members):
        told = schemas[member].get("properties", {}).get("type", {})
        if value.get("type") in told.get("enum", [told.get("const")]):
            return member
    return None


def _message(name: str, error: Any) -> str:
    """Word an error; one of a union by those members that were right the furthest."""
    place = "/".join(str(part) for part in error.instance_path)
    members = getattr(error.kind, "context", [])
    below = sorted(
        (each for member in members for each in member), key=lambda each: -len(each.instance_path)
    )
    reasons = "; ".join(each.message[:200] for each in below[:_MOST_MESSAGES])
    return f"{name}: {place or 'the whole'}: {reasons or error.message[:300]}"


class _Whole:
    """A keyword: a number is written without a point, as typed clients want their integers."""

    def __init__(self, *_: object) -> None: ...

    def validate(self, value: object) -> None:
        """Raise ValueError if it is not."""
        if isinstance(value, float):
            raise ValueError(f"{value} is no integer")  # noqa: TRY004  # the interface says so
