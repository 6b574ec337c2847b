"""Which schema of the official document each operation's replies are of."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the OpenAI API: the schemas of its whole reply, and of one event."""

    method: str
    path: str
    whole: str
    event: str = ""


_ITEM_LIST = "ConversationItemList"

OPERATIONS = (
    Operation(
        "POST",
        "chat/completions",
        "CreateChatCompletionResponse",
        "CreateChatCompletionStreamResponse",
    ),
    Operation("GET", "chat/completions", "ChatCompletionList"),
    Operation("GET", "chat/completions/{id}", "CreateChatCompletionResponse"),
    Operation("POST", "chat/completions/{id}", "CreateChatCompletionResponse"),
    Operation("DELETE", "chat/completions/{id}", "ChatCompletionDeleted"),
    Operation("GET", "chat/completions/{id}/messages", "ChatCompletionMessageList"),
    Operation("POST", "completions", "CreateCompletionResponse", "CreateCompletionResponse"),
    Operation("POST", "embeddings", "CreateEmbeddingResponse"),
    Operation("GET", "models", "ListModelsResponse"),
    Operation("GET", "models/.+", "Model"),
    Operation("POST", "responses", "Response", "ResponseStreamEvent"),
    Operation("POST", "responses/input_tokens", "TokenCountsResource"),
    Operation("POST", "responses/compact", "CompactResource"),
    Operation("GET", "responses/{id}", "Response", "ResponseStreamEvent"),
    Operation("DELETE", "responses/{id}", ""),  # the document gives this reply no schema
    Operation("POST", "responses/{id}/cancel", "Response"),
    Operation("GET", "responses/{id}/input_items", "ResponseItemList"),
    Operation("POST", "conversations", "ConversationResource"),
    Operation("GET", "conversations/{id}", "ConversationResource"),
    Operation("POST", "conversations/{id}", "ConversationResource"),
    Operation("DELETE", "conversations/{id}", "DeletedConversationResource"),
    Operation("POST", "conversations/{id}/items", _ITEM_LIST),
    Operation("GET", "conversations/{id}/items", _ITEM_LIST),
    Operation("GET", "conversations/{id}/items/{id}", "ConversationItem"),
    Operation("DELETE", "conversations/{id}/items/{id}", "ConversationResource"),
)

# Paths of the Anthropic API and of our own, which the document knows nothing about.
_FOREIGN = re.compile(r"(messages|memory|metrics|routing|health|providers|gaming-mode)(/|$)")


def operation_of(method: str, path: str) -> Operation | None:
    """Return the operation that a request of this path is for, in whichever of its forms."""
    short = short_path(path)
    for operation in OPERATIONS:
        pattern = operation.path.replace("{id}", "[^/]+")
        if operation.method == method and re.fullmatch(pattern, short):
            return operation
    return None


def is_foreign(path: str) -> bool:
    """Whether the document does not cover this path, nor its errors."""
    return bool(_FOREIGN.match(short_path(path)))


def short_path(path: str) -> str:
    """Return a path without `/p/<project>`, `/v1` and its first slash."""
    return re.sub(r"^/(p/[^/]+/)?(v1/)?", "", path)
