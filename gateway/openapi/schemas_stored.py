"""Responses, conversations and stored completions, as OpenAI's API has them."""

from __future__ import annotations

from gateway.dialects.json_extra import INT64_MAX
from gateway.identity import MAX_VALUE_CHARS
from gateway.openapi.operation import Schema
from gateway.openapi.schemas_chat import MODEL, SEED, STOP, STREAM, TEMPERATURE, TOP_P
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
_METADATA: Schema = {
    "type": "object",
    "maxProperties": 16,
    "propertyNames": {"maxLength": 64},
    "additionalProperties": {"type": "string", "maxLength": 512},
}
_LIMIT = nullable({"type": "integer", "minimum": 0, "maximum": INT64_MAX})
_PLACE: dict[str, Schema] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    "order": {"type": "string", "enum": ["asc", "desc"]},
    "after": {
        "type": "string",
        "maxLength": MAX_VALUE_CHARS,
        "description": "Only what follows the one of this id.",
    },
}
_ITEMS = listed(of("InputItem"), maxItems=20)
_RESPONSES_REQUEST: dict[str, Schema] = {
    "input": nullable({"anyOf": [TEXT, listed(of("InputItem"))]}),
    "model": MODEL,
    "instructions": _TEXT_OR_NULL,
    "previous_response_id": _TEXT_OR_NULL,
    "conversation": nullable({"anyOf": [TEXT, record("A conversation.", {"id": TEXT})]}),
    "store": nullable({"type": "boolean", "description": "false: keep nothing."}),
    "stream": STREAM,
    "temperature": TEMPERATURE,
    "top_p": TOP_P,
    "max_output_tokens": _LIMIT,
    "max_tool_calls": _LIMIT,
    "parallel_tool_calls": nullable(FLAG),
    "tools": nullable(listed(of("ResponseTool"))),
    "tool_choice": nullable({"anyOf": [{"enum": ["none", "auto", "required"]}, OBJECT]}),
    "include": nullable(listed(TEXT)),
    "metadata": nullable(_METADATA),
    "truncation": nullable({"enum": ["auto", "disabled"]}),
    "stop": STOP,
    "seed": SEED,
}


def _page(description: str, item: Schema) -> Schema:
    return record(
        description,
        {"object": one("list"), "data": listed(item), "has_more": FLAG},
        first_id=_TEXT_OR_NULL,
        last_id=_TEXT_OR_NULL,
    )


def _deleted(kind: str) -> Schema:
    return record(
        "What was forgotten.",
        {"id": TEXT, "object": one(kind), "deleted": {"type": "boolean", "const": True}},
    )


STORED: dict[str, Schema] = {
    "InputItem": {
        "anyOf": [
            record(
                "What was said.",
                {
                    "role": {"enum": ["user", "assistant", "system", "developer"]},
                    "content": {"anyOf": [TEXT, listed(of("InputPart"))]},
                },
                type=one("message"),
            ),
            record(
                "A call of a function.",
                {"type": one("function_call"), "call_id": TEXT, "name": TEXT, "arguments": TEXT},
            ),
            record(
                "What a function returned.",
                {"type": one("function_call_output"), "call_id": TEXT, "output": {}},
            ),
            record("An item that is kept.", {"type": one("item_reference"), "id": TEXT}),
        ],
        "description": "Items of other kinds are taken as well, and left out if need be.",
    },
    "InputPart": {
        "anyOf": [
            record("Text.", {"type": {"enum": ["input_text", "output_text"]}, "text": TEXT}),
            record(
                "A picture.",
                {"type": one("input_image"), "image_url": TEXT},
                detail=_TEXT_OR_NULL,
            ),
        ]
    },
    "ResponseTool": {
        "anyOf": [
            record(
                "A function that the model may call.",
                {"type": one("function"), "name": TEXT},
                description=_TEXT_OR_NULL,
                parameters=nullable(OBJECT),
                strict=nullable(FLAG),
            ),
            record("Any other tool.", {"type": {"enum": ["custom"]}, "name": TEXT}),
            record(
                "A tool that lair cannot run; it is left out.",
                {"type": {"type": "string", "not": {"enum": ["function", "custom"]}}},
            ),
        ]
    },
    "ResponsesRequest": record(
        "What to respond to: an input, or a response or conversation to continue.",
        {},
        **_RESPONSES_REQUEST,
    )
    | {"anyOf": [{"required": [name]} for name in ("input", "previous_response_id")]},
    "TokenCountRequest": record("What to count.", {}, **_RESPONSES_REQUEST),
    "Response": record(
        "An answer, and what was asked.",
        {
            "id": TEXT,
            "object": one("response"),
            "created_at": {"type": "number"},
            "status": {"enum": ["completed", "incomplete", "failed", "cancelled", "in_progress"]},
            "error": nullable(OBJECT),
            "incomplete_details": nullable(OBJECT),
            "instructions": {},
            "model": TEXT,
            "output": listed(of("Item")),
            "parallel_tool_calls": FLAG,
            "metadata": nullable(OBJECT),
            "tool_choice": {},
            "tools": listed(OBJECT),
            "temperature": nullable({"type": "number"}),
            "top_p": nullable({"type": "number"}),
        },
        usage=nullable(record("Token counts.", {"input_tokens": COUNT, "output_tokens": COUNT})),
    ),
    "DeletedResponse": _deleted("response"),
    "InputTokens": record(
        "How many tokens there are.",
        {"object": one("response.input_tokens"), "input_tokens": COUNT},
    ),
    "Item": record("Something said, called, returned or thought.", {"type": TEXT}, id=TEXT),
    "Items": _page("Items.", of("Item")),
    "ItemQuery": record("Which items.", {}, **_PLACE),
    "NewOpenAIConversation": record(
        "A conversation to begin.", {}, metadata=nullable(_METADATA), items=nullable(_ITEMS)
    ),
    "OpenAIConversationChange": record("Its new metadata.", {"metadata": nullable(_METADATA)}),
    "NewItems": record("Items to add at the end.", {"items": _ITEMS}),
    "OpenAIConversation": record(
        "A conversation without its items.",
        {"id": TEXT, "object": one("conversation"), "created_at": INTEGER, "metadata": OBJECT},
    ),
    "DeletedOpenAIConversation": _deleted("conversation.deleted"),
    "CompletionQuery": record(
        "Which completions.",
        {},
        **_PLACE,
        model={"type": "string", "maxLength": MAX_VALUE_CHARS},
        metadata=_METADATA | {"description": "Only those with all of these."},
    ),
    "CompletionChange": record("Its new metadata.", {"metadata": nullable(_METADATA)}),
    "ChatCompletions": _page("Stored completions.", of("ChatCompletion")),
    "StoredMessages": _page(
        "What a stored completion answers.",
        record("A message.", {"id": TEXT, "role": TEXT, "content": nullable({})}),
    ),
    "DeletedCompletion": _deleted("chat.completion.deleted"),
}
