"""The types of the `openai` package as a judge, where the official document is not at hand.

They are laxer than the document: a field that may be null may also be missing. Where
official clients were seen to need the key, it is demanded here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

from openai import types
from openai.types import chat, conversations, responses, shared
from pydantic import BaseModel, TypeAdapter, ValidationError


class _Models(BaseModel):
    object: Literal["list"]
    data: list[types.Model]


class _Error(BaseModel):
    error: shared.ErrorObject


_TYPES: dict[str, Any] = {
    "CreateChatCompletionResponse": chat.ChatCompletion,
    "CreateChatCompletionStreamResponse": chat.ChatCompletionChunk,
    "ChatCompletionDeleted": chat.ChatCompletionDeleted,
    "CreateCompletionResponse": types.Completion,
    "CreateEmbeddingResponse": types.CreateEmbeddingResponse,
    "ListModelsResponse": _Models,
    "Model": types.Model,
    "Response": responses.Response,
    "ResponseStreamEvent": responses.ResponseStreamEvent,
    "ConversationResource": conversations.Conversation,
    "DeletedConversationResource": conversations.ConversationDeletedResource,
    "ErrorResponse": _Error,
}

_CHOICE = {"index", "finish_reason", "logprobs"}
_KEYS = {
    "CreateChatCompletionResponse": {
        "choices": _CHOICE | {"message"},
        "choices/message": {"role", "content", "refusal"},
    },
    "CreateChatCompletionStreamResponse": {"choices": {"index", "finish_reason", "delta"}},
    "CreateCompletionResponse": {"choices": _CHOICE | {"text"}},
    "ErrorResponse": {"error": {"message", "type", "param", "code"}},
}


def violations(name: str, value: Any) -> list[str]:
    """Return what is wrong with `value`; nothing where the package has no type for it."""
    if name not in _TYPES:
        return []
    try:
        _adapter(name).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        return [f"{name}: {each['loc']}: {each['msg']}" for each in error.errors()]
    return [
        f"{name}: {path}: without {sorted(keys - found.keys())}"
        for path, keys in _KEYS.get(name, {}).items()
        for found in _at(value, path.split("/"))
        if keys - found.keys()
    ]


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(_TYPES[name])


def _at(value: Any, path: list[str]) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _at(item, path)
    elif path:
        yield from _at(value[path[0]], path[1:])
    else:
        yield value
