"""Chats, texts, vectors and models, as OpenAI's API has them; no more than lair looks at.

Whatever else a client or a backend sends goes through, so everything here is open. What a
client may send holds null as well where that means the same as nothing.
"""

from __future__ import annotations

from gateway.dialects.chat_message import MAY_BE_SILENT, ROLES
from gateway.dialects.json_extra import INT32_MAX, INT64_MAX, INT64_MIN
from gateway.dialects.request_fields import MAX_CHOICES, MAX_TEMPERATURE
from gateway.openapi.operation import Schema
from gateway.openapi.shapes import (
    COUNT,
    FLAG,
    INTEGER,
    OBJECT,
    TEXT,
    listed,
    nullable,
    of,
    one,
    record,
)

_TEXT_OR_NULL = nullable(TEXT)
_TOKEN: Schema = {"type": "integer", "minimum": 0, "maximum": INT32_MAX}
_LIMIT = nullable({"type": "integer", "minimum": -1, "maximum": INT64_MAX})
STOP = nullable({"anyOf": [TEXT, listed(TEXT, maxItems=4)]})
MODEL = nullable({"type": "string", "description": "A model's name, or `auto`."})
STREAM = nullable({"type": "boolean", "description": "Whether to answer as a stream of events."})
_STREAM_OPTIONS = nullable(record("How to stream.", {}, include_usage=nullable(FLAG)))
_CHOICES = nullable({"type": "integer", "minimum": 1, "maximum": MAX_CHOICES})
TEMPERATURE = nullable({"type": "number", "minimum": 0, "maximum": MAX_TEMPERATURE})
TOP_P = nullable({"type": "number", "minimum": 0, "maximum": 1})
SEED = nullable({"type": "integer", "minimum": INT64_MIN, "maximum": INT64_MAX})
_TEXTS: Schema = {
    "description": "A text or several, each as words or as tokens.",
    "anyOf": [
        TEXT,
        listed(TEXT, minItems=1),
        listed(_TOKEN, minItems=1),
        listed(listed(_TOKEN, minItems=1), minItems=1),
    ],
}
_LOUD = [role for role in ROLES if role not in MAY_BE_SILENT]
_CONTENT: Schema = {"anyOf": [TEXT, listed(of("ContentPart"))]}

CHAT: dict[str, Schema] = {
    "Usage": record(
        "Token counts.",
        {"prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT},
    ),
    "ContentPart": {
        "anyOf": [
            record("Text.", {"type": one("text"), "text": TEXT}),
            record(
                "A picture.",
                {
                    "type": one("image_url"),
                    "image_url": record("Where it is.", {"url": TEXT}, detail=_TEXT_OR_NULL),
                },
            ),
            record(
                "Any other part.",
                {"type": {"type": "string", "not": {"enum": ["text", "image_url"]}}},
            ),
        ]
    },
    "ToolCall": record(
        "A tool that the model calls.",
        {
            "id": TEXT,
            "function": record("Which, and with what.", {"name": TEXT, "arguments": TEXT}),
        },
        type=one("function"),
    ),
    "ChatMessage": {
        "anyOf": [
            record("What is said.", {"role": {"enum": _LOUD}, "content": _CONTENT}),
            record(
                "What the model said or called.",
                {"role": {"enum": list(MAY_BE_SILENT)}},
                content=nullable(_CONTENT),
                tool_calls=nullable(listed(of("ToolCall"))),
            ),
        ]
    },
    "Tool": {
        "anyOf": [
            record(
                "A function that the model may call.",
                {
                    "type": one("function"),
                    "function": record(
                        "Its name, and what it takes.",
                        {"name": TEXT},
                        description=_TEXT_OR_NULL,
                        parameters=nullable(OBJECT),
                        strict=nullable(FLAG),
                    ),
                },
            ),
            record("Any other tool.", {"type": {"type": "string", "not": one("function")}}),
        ]
    },
    "ChatRequest": record(
        "A chat to answer. Whatever else it holds goes to the backend.",
        {"messages": listed(of("ChatMessage"), minItems=1)},
        model=MODEL,
        stream=STREAM,
        stream_options=_STREAM_OPTIONS,
        tools=nullable(listed(of("Tool"))),
        tool_choice=nullable({"anyOf": [{"enum": ["none", "auto", "required"]}, OBJECT]}),
        parallel_tool_calls=nullable(FLAG),
        response_format=nullable(record("The form of the answer.", {"type": TEXT})),
        temperature=TEMPERATURE,
        top_p=TOP_P,
        max_tokens=_LIMIT,
        max_completion_tokens=_LIMIT,
        n=_CHOICES,
        stop=STOP,
        seed=SEED,
        reasoning_effort=_TEXT_OR_NULL,
    ),
    "ChatCompletion": record(
        "An answered chat.",
        {
            "id": TEXT,
            "object": one("chat.completion"),
            "created": INTEGER,
            "model": TEXT,
            "choices": listed(
                record(
                    "One answer.",
                    {
                        "index": COUNT,
                        "message": record(
                            "What the model said.",
                            {
                                "role": one("assistant"),
                                "content": nullable({"type": ["string", "array"]}),
                                "refusal": _TEXT_OR_NULL,
                            },
                            tool_calls=listed(of("ToolCall")),
                        ),
                        "finish_reason": _TEXT_OR_NULL,
                        "logprobs": nullable(OBJECT),
                    },
                )
            ),
        },
        usage=of("Usage"),
    ),
    "CompletionRequest": record(
        "Text to continue. Whatever else it holds goes to the backend.",
        {"prompt": _TEXTS},
        model=MODEL,
        stream=STREAM,
        stream_options=_STREAM_OPTIONS,
        temperature=TEMPERATURE,
        top_p=TOP_P,
        max_tokens=_LIMIT,
        n=_CHOICES,
        stop=STOP,
        seed=SEED,
    ),
    "Completion": record(
        "Continued text.",
        {
            "id": TEXT,
            "object": one("text_completion"),
            "created": INTEGER,
            "model": TEXT,
            "choices": listed(
                record(
                    "One continuation.",
                    {
                        "index": COUNT,
                        "text": TEXT,
                        "finish_reason": _TEXT_OR_NULL,
                        "logprobs": nullable(OBJECT),
                    },
                )
            ),
        },
        usage=of("Usage"),
    ),
    "EmbeddingRequest": record(
        "Texts to turn into vectors.",
        {"input": _TEXTS},
        model=MODEL,
        encoding_format=nullable({"enum": ["float", "base64"]}),
        dimensions=nullable({"type": "integer", "minimum": 1, "maximum": INT32_MAX}),
    ),
    "Embeddings": record(
        "Vectors, in the order of their texts.",
        {
            "object": one("list"),
            "data": listed(
                record(
                    "One vector: numbers, or little-endian floats of 32 bits in base64.",
                    {
                        "object": one("embedding"),
                        "index": COUNT,
                        "embedding": {"anyOf": [listed({"type": "number"}), TEXT]},
                    },
                )
            ),
            "model": TEXT,
            "usage": record("Token counts.", {"prompt_tokens": COUNT, "total_tokens": COUNT}),
        },
    ),
    "Model": record(
        "A model that can be asked for.",
        {"id": TEXT, "object": one("model"), "created": INTEGER, "owned_by": TEXT},
        backend=TEXT,
        context_length=COUNT,
        loaded=FLAG,
        capabilities=listed(TEXT),
        alias_targets=listed(TEXT),
    ),
    "Models": record(
        "Every model that can be asked for.",
        {"object": one("list"), "data": listed(of("Model"))},
    ),
}
