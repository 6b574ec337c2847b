"""Single fields of a request for a response: each is checked, and put in the reply's form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.dialects.json_extra import Fields, wrong
from svckit.errors import invalid_field

Shown = dict[str, Any]
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_SUMMARIES = ("auto", "concise", "detailed")
_CONTEXTS = ("auto", "current_turn", "all_turns")
_VERBOSITIES = ("low", "medium", "high")
_FORMATS = ("text", "json_object", "json_schema")
_MAX_PAIRS, _MAX_KEY, _MAX_VALUE, _MAX_ID = 16, 64, 512, 256


def take_word(fields: Fields, name: str, words: Sequence[str]) -> str | None:
    """Take a string that is one of `words`."""
    expected = "one of " + ", ".join(words)
    value = fields.text(name, expected=expected)
    fields.take(name)  # a null is as good as none
    if value is not None and value not in words:
        raise wrong(fields.path(name), value, expected)
    return value


def take_metadata(fields: Fields, name: str = "metadata") -> dict[str, str]:
    """Take pairs of strings; an absent field is none."""
    pairs = fields.object(name) or {}
    fields.take(name)
    path = fields.path(name)
    if len(pairs) > _MAX_PAIRS:
        raise invalid_field(path, f"{path} has {len(pairs)} pairs; send at most {_MAX_PAIRS}")
    for key, value in pairs.items():
        if len(key) > _MAX_KEY:
            raise invalid_field(
                path, f"{path} has a key of {len(key)} characters; send at most {_MAX_KEY}"
            )
        if not isinstance(value, str):
            raise wrong(f"{path}.{key}", value, "a string")
        if len(value) > _MAX_VALUE:
            raise invalid_field(
                f"{path}.{key}",
                f"{path}.{key} has {len(value)} characters; send at most {_MAX_VALUE}",
            )
    return dict(pairs)


def take_conversation(fields: Fields) -> str:
    """Take the conversation to continue, given by its id or by an object that has it."""
    value, path = fields.take("conversation"), "conversation"
    if isinstance(value, dict):
        inner, path = Fields(value, path), "conversation.id"
        value = inner.required_text("id", expected="a conversation's id")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong(path, value, 'a conversation\'s id, or an object like {"id": "conv_…"}')
    if len(value) > _MAX_ID or not value.isprintable():
        raise invalid_field(path, f"{path} is no id; send at most {_MAX_ID} printable characters")
    return value


def take_include(fields: Fields) -> frozenset[str]:
    """Take what is wanted beyond the usual."""
    names = fields.items("include")
    fields.take("include")
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise wrong(f"include[{index}]", name, "a string")
    return frozenset(names)


def take_reasoning(fields: Fields) -> Shown:
    """Take how much to reason, and how much of it to tell."""
    given: Mapping[str, Any] = fields.object("reasoning") or {}
    fields.take("reasoning")
    inner = Fields(given, "reasoning")
    shown: Shown = {
        "effort": take_word(inner, "effort", _EFFORTS),
        "summary": take_word(inner, "summary", _SUMMARIES)
        or take_word(inner, "generate_summary", _SUMMARIES),
    }
    context = take_word(inner, "context", _CONTEXTS)
    return shown | {"context": context} if context else shown


def take_text(fields: Fields) -> tuple[Shown, bytes]:
    """Take the form of the answer; return it for the reply, and as a chat's response format."""
    given: Mapping[str, Any] = fields.object("text") or {}
    fields.take("text")
    inner = Fields(given, "text")
    shown: Shown = {"format": {"type": "text"}}
    verbosity = take_word(inner, "verbosity", _VERBOSITIES)
    if verbosity:
        shown["verbosity"] = verbosity
    form = inner.object("format")
    if form is None:
        return shown, b""
    shown["format"] = dict(form)
    return shown, _response_format(Fields(form, "text.format"))


def _response_format(form: Fields) -> bytes:
    expected = ", ".join(f'"{name}"' for name in _FORMATS)
    kind = form.required_text("type", expected=expected)
    if kind not in _FORMATS:
        raise wrong(form.path("type"), kind, expected)
    if kind == "text":
        return b""
    if kind == "json_object":
        return msgspec.json.encode({"type": kind})
    name, schema = form.required_text("name"), form.object("schema")
    if schema is None:
        raise form.absent("schema", "a JSON Schema object")
    further = {"strict": form.flag("strict"), "description": form.text("description")}
    told = {key: value for key, value in further.items() if value is not None}
    inner = {"name": name, "schema": schema, **told}
    return msgspec.json.encode({"type": kind, "json_schema": inner})
