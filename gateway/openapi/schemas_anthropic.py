"""Messages, as Anthropic's API has them."""

from __future__ import annotations

from gateway.dialects.json_extra import INT64_MAX
from gateway.openapi.operation import Schema
from gateway.openapi.schemas_chat import MODEL, STREAM, TOP_P
from gateway.openapi.shapes import COUNT, FLAG, OBJECT, TEXT, listed, nullable, of, one, record

_TEXT_OR_NULL = nullable(TEXT)
_MAX_TOKENS: Schema = {"type": "integer", "minimum": 1, "maximum": INT64_MAX}
_CONTENT: Schema = {"anyOf": [TEXT, listed(of("ContentBlock"))]}
_TEXT_BLOCK = record("Text.", {"type": one("text"), "text": TEXT})
_REQUIRED: dict[str, Schema] = {
    "messages": listed(
        record(
            "What one side said.", {"role": {"enum": ["user", "assistant"]}, "content": _CONTENT}
        ),
        minItems=1,
    )
}
_OPTIONAL: dict[str, Schema] = {
    "model": MODEL,
    "system": nullable({"anyOf": [TEXT, listed(_TEXT_BLOCK)]}),
    "stream": STREAM,
    "temperature": nullable({"type": "number", "minimum": 0, "maximum": 1}),
    "top_p": TOP_P,
    "top_k": nullable({"type": "integer", "minimum": 0, "maximum": INT64_MAX}),
    "stop_sequences": nullable(listed({"type": "string", "minLength": 1})),
    "tools": nullable(
        listed(
            record(
                "A tool that the model may call.",
                {"name": TEXT, "input_schema": OBJECT},
                description=_TEXT_OR_NULL,
                strict=nullable(FLAG),
            )
        )
    ),
    "tool_choice": nullable(record("Whether to call one.", {"type": {"enum": ["auto", "none"]}})),
    "metadata": nullable(record("Whose request it is.", {}, user_id=_TEXT_OR_NULL)),
}

ANTHROPIC: dict[str, Schema] = {
    "ContentBlock": {
        "anyOf": [
            _TEXT_BLOCK,
            record(
                "A call of a tool.",
                {"type": one("tool_use"), "id": TEXT, "name": TEXT, "input": OBJECT},
            ),
            record(
                "What a tool returned.",
                {"type": one("tool_result"), "tool_use_id": TEXT},
                content=nullable({"anyOf": [TEXT, listed(_TEXT_BLOCK)]}),
                is_error=nullable(FLAG),
            ),
            record("What was thought.", {"type": one("thinking"), "thinking": TEXT}),
        ]
    },
    "MessagesRequest": record(
        "What to answer.", {"max_tokens": _MAX_TOKENS, **_REQUIRED}, **_OPTIONAL
    ),
    "CountTokensRequest": record("What to count.", _REQUIRED, **_OPTIONAL),
    "Message": record(
        "An answer.",
        {
            "id": TEXT,
            "type": one("message"),
            "role": one("assistant"),
            "model": TEXT,
            "content": listed(record("A block.", {"type": TEXT})),
            "stop_reason": _TEXT_OR_NULL,
            "stop_sequence": _TEXT_OR_NULL,
            "usage": record("Token counts.", {"input_tokens": COUNT, "output_tokens": COUNT}),
        },
    ),
    "TokenCount": record("How many tokens there are.", {"input_tokens": COUNT}),
    "AnthropicError": record(
        "A failure, as Anthropic's API words it.",
        {
            "type": one("error"),
            "error": record("What went wrong.", {"type": TEXT, "message": TEXT}),
        },
        request_id=TEXT,
    ),
}
