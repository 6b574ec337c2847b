"""Fields that requests for chats, completions and vectors have in common. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialects.json_extra import INT32_MAX, Fields, wrong
from lair.router.v1.input_pb2 import TextInput, TokenList
from svckit.errors import ServiceError, invalid_field

MAX_CHOICES = 128
MAX_TEMPERATURE = 2
_MAX_STOPS = 4
_TEXTS = "a string, a list of strings, a list of tokens or a list of lists of tokens"


def take_model(fields: Fields) -> str:
    """Take the model; null is as good as none, for the router names the real one anyway."""
    model = fields.text("model", expected='a model\'s name, or "auto"')
    fields.take("model")
    return model or ""


def take_include_usage(fields: Fields) -> bool:
    """Take `stream_options`; tell whether a stream is to end with its usage."""
    options: Mapping[str, Any] | None = fields.object("stream_options")
    fields.take("stream_options")
    if options is None:
        return False
    return Fields(options, "stream_options").flag("include_usage") or False


def take_stop(fields: Fields) -> list[str]:
    """Take a list of stop texts; a bare string is checked and stays behind."""
    expected = f"a string or a list of at most {_MAX_STOPS} strings"
    stop = fields.peek("stop")
    if stop is None or isinstance(stop, str):
        return []
    if not isinstance(stop, list):
        raise wrong("stop", stop, expected)
    stops = fields.items("stop")
    if len(stops) > _MAX_STOPS:
        raise invalid_field("stop", f"stop is a list of {len(stops)}; send {expected}")
    for index, text in enumerate(stops):
        if not isinstance(text, str):
            raise wrong(f"stop[{index}]", text, "a string")
    return stops


def take_texts(fields: Fields, name: str) -> list[TextInput]:
    """Take the texts of `name`: one or several, each as words or as tokens."""
    value = fields.peek(name)
    if value is None:
        raise fields.absent(name, _TEXTS)
    fields.take(name)
    if isinstance(value, str):
        return [TextInput(text=value)]
    if not isinstance(value, list) or not value:
        raise wrong(name, value, _TEXTS)
    if isinstance(value[0], list):
        return [TextInput(tokens=_tokens(item, f"{name}[{n}]")) for n, item in enumerate(value)]
    if isinstance(value[0], str):
        return [TextInput(text=_text(item, f"{name}[{n}]")) for n, item in enumerate(value)]
    return [TextInput(tokens=_tokens(value, name))]


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise wrong(path, value, "a string, as the first one is")
    return value


def _tokens(value: object, path: str) -> TokenList:
    if not isinstance(value, list) or not value:
        raise wrong(path, value, "a list of at least one token")
    for index, token in enumerate(value):
        if type(token) is not int or not 0 <= token <= INT32_MAX:
            raise _no_token(f"{path}[{index}]", token)
    return TokenList(ids=value)


def _no_token(path: str, value: object) -> ServiceError:
    return wrong(path, value, "a token, which is an integer of at least 0")
