"""What is said of each route: one entry for every line of `gateway.routes`."""

from __future__ import annotations

from typing import Final

from gateway.dialects.rest_activity import Activity, Wrapped
from gateway.dialects.rest_backends import Explanation, GamingMode, Providers, RoutingConfig
from gateway.dialects.rest_calendar import Daily
from gateway.dialects.rest_conversations import (
    Conversation,
    ConversationPage,
    DeletedConversation,
    Found,
    Recall,
    Stats,
    WholeConversation,
)
from gateway.dialects.rest_costs import SavingsReport, UnpricedModels
from gateway.dialects.rest_health import Health
from gateway.dialects.rest_notes import DeletedMessage, Forgotten, Note, NotePage
from gateway.dialects.rest_queries import (
    ConversationChange,
    ConversationQuery,
    ExportQuery,
    ForgetWish,
    LiveQuery,
    MessageChange,
    NewConversation,
    NewNote,
    NoteQuery,
    RecentQuery,
    ReportQuery,
    SearchQuery,
    UsageQuery,
    WrappedQuery,
)
from gateway.dialects.rest_records import RecordPage
from gateway.dialects.rest_reports import Dashboard, Latency, ModelUse, ProviderUse
from gateway.dialects.rest_usage import RoutingUse, UsageTable
from gateway.handlers.index import Root
from gateway.openapi.operation import ANTHROPIC_ERROR, EVENTS, Operation, Shape

MODELS: Final = "models"
STORED: Final = "stored"
ROUTING: Final = "routing"
MEMORY: Final = "memory"
METRICS: Final = "metrics"
LAIR: Final = "lair"
TAGS = {
    MODELS: "Asking models, as the APIs of OpenAI and Anthropic do.",
    STORED: "Answers and conversations that were kept, as OpenAI's API has them.",
    ROUTING: "Where requests go, and why.",
    MEMORY: "What was said.",
    METRICS: "What was used. Days are local ones.",
    LAIR: "lair itself.",
}


def _ask(body: str, reply: str, *, streams: bool = False, error: str = "Error") -> Operation:
    return Operation(
        tag=MODELS, body=body, reply=reply, streams=streams, model_call=True, error=error
    )


def _stored(
    reply: str, *, query: str | None = None, body: str | None = None, body_required: bool = True
) -> Operation:
    return Operation(
        tag=STORED,
        reply=reply,
        query=query,
        body=body,
        body_required=body_required,
        personal=True,
    )


def _report(reply: Shape, query: Shape = ReportQuery) -> Operation:
    return Operation(tag=METRICS, query=query, reply=reply, personal=True)


OPERATIONS: dict[tuple[str, str], Operation] = {
    ("GET", "/"): Operation(tag=LAIR, reply=Root),
    ("GET", "/health"): Operation(tag=LAIR, reply=Health, other={503: Health}),
    ("GET", "/openapi.json"): Operation(tag=LAIR, reply="OpenAPI"),
    ("GET", "/docs"): Operation(tag=LAIR, reply="Text", media="text/html"),
    ("GET", "/docs/{file}"): Operation(tag=LAIR, reply="Text", media="text/*"),
    ("POST", "/v1/chat/completions"): _ask("ChatRequest", "ChatCompletion", streams=True),
    ("POST", "/v1/completions"): _ask("CompletionRequest", "Completion", streams=True),
    ("POST", "/v1/embeddings"): _ask("EmbeddingRequest", "Embeddings"),
    ("GET", "/v1/chat/completions"): _stored("ChatCompletions", query="CompletionQuery"),
    ("GET", "/v1/chat/completions/{id}"): _stored("ChatCompletion"),
    ("POST", "/v1/chat/completions/{id}"): _stored("ChatCompletion", body="CompletionChange"),
    ("DELETE", "/v1/chat/completions/{id}"): _stored("DeletedCompletion"),
    ("GET", "/v1/chat/completions/{id}/messages"): _stored("StoredMessages", query="ItemQuery"),
    ("POST", "/v1/messages"): _ask(
        "MessagesRequest", "Message", streams=True, error=ANTHROPIC_ERROR
    ),
    ("POST", "/v1/messages/count_tokens"): _ask(
        "CountTokensRequest", "TokenCount", error=ANTHROPIC_ERROR
    ),
    ("POST", "/v1/responses"): _ask("ResponsesRequest", "Response", streams=True),
    ("POST", "/v1/responses/input_tokens"): _ask("TokenCountRequest", "InputTokens"),
    ("GET", "/v1/responses/{id}"): _stored("Response"),
    ("DELETE", "/v1/responses/{id}"): _stored("DeletedResponse"),
    ("GET", "/v1/responses/{id}/input_items"): _stored("Items", query="ItemQuery"),
    ("POST", "/v1/responses/{id}/cancel"): _stored("Response"),
    ("POST", "/v1/conversations"): _stored(
        "OpenAIConversation", body="NewOpenAIConversation", body_required=False
    ),
    ("GET", "/v1/conversations/{id}"): _stored("OpenAIConversation"),
    ("POST", "/v1/conversations/{id}"): _stored(
        "OpenAIConversation", body="OpenAIConversationChange"
    ),
    ("DELETE", "/v1/conversations/{id}"): _stored("DeletedOpenAIConversation"),
    ("GET", "/v1/conversations/{id}/items"): _stored("Items", query="ItemQuery"),
    ("POST", "/v1/conversations/{id}/items"): _stored("Items", body="NewItems"),
    ("GET", "/v1/conversations/{id}/items/{item_id}"): _stored("Item"),
    ("DELETE", "/v1/conversations/{id}/items/{item_id}"): _stored("OpenAIConversation"),
    ("GET", "/v1/models"): Operation(tag=MODELS, reply="Models"),
    ("GET", "/v1/models/{id:.+}"): Operation(tag=MODELS, reply="Model"),
    ("POST", "/v1/routing/explain"): Operation(
        tag=ROUTING, body="ChatRequest", reply=Explanation, model_call=True
    ),
    ("GET", "/v1/routing/config"): Operation(tag=ROUTING, reply=RoutingConfig),
    ("GET", "/providers"): Operation(tag=ROUTING, reply=Providers),
    ("GET", "/gaming-mode"): Operation(tag=ROUTING, reply=GamingMode),
    ("POST", "/gaming-mode"): Operation(
        tag=ROUTING,
        query="GamingQuery",
        body="GamingSwitch",
        body_required=False,
        reply=GamingMode,
    ),
    ("GET", "/memory/conversations"): Operation(
        tag=MEMORY, query=ConversationQuery, reply=ConversationPage, personal=True
    ),
    ("POST", "/memory/conversations"): Operation(
        tag=MEMORY, body=NewConversation, reply=Conversation, status=201, personal=True
    ),
    ("GET", "/memory/conversations/{id}"): Operation(
        tag=MEMORY, reply=WholeConversation, personal=True
    ),
    ("PATCH", "/memory/conversations/{id}"): Operation(
        tag=MEMORY, body=ConversationChange, reply=Conversation, personal=True
    ),
    ("DELETE", "/memory/conversations/{id}"): Operation(
        tag=MEMORY, reply=DeletedConversation, personal=True
    ),
    ("GET", "/memory/search"): Operation(tag=MEMORY, query=SearchQuery, reply=Found, personal=True),
    ("POST", "/memory/search"): Operation(tag=MEMORY, body=SearchQuery, reply=Found, personal=True),
    ("GET", "/memory/notes"): Operation(tag=MEMORY, query=NoteQuery, reply=NotePage, personal=True),
    ("POST", "/memory/notes"): Operation(
        tag=MEMORY, body=NewNote, reply=Note, status=201, personal=True
    ),
    ("PATCH", "/memory/messages/{message_id}"): Operation(
        tag=MEMORY, body=MessageChange, reply=Note, personal=True
    ),
    ("DELETE", "/memory/messages/{message_id}"): Operation(
        tag=MEMORY, reply=DeletedMessage, personal=True
    ),
    ("POST", "/memory/forget"): Operation(
        tag=MEMORY, body=ForgetWish, reply=Forgotten, personal=True
    ),
    ("GET", "/memory/recalls/{request_id}"): Operation(tag=MEMORY, reply=Recall, personal=True),
    ("GET", "/memory/stats"): Operation(tag=MEMORY, reply=Stats, personal=True),
    ("GET", "/metrics"): Operation(tag=METRICS, reply="Text", media="text/plain"),
    ("GET", "/metrics/live"): Operation(
        tag=METRICS, query=LiveQuery, reply="Event", media=EVENTS, personal=True
    ),
    ("GET", "/metrics/dashboard"): _report(Dashboard),
    ("GET", "/metrics/recent"): _report(RecordPage, RecentQuery),
    ("GET", "/metrics/daily"): _report(Daily),
    ("GET", "/metrics/activity"): _report(Activity),
    ("GET", "/metrics/models"): _report(ModelUse),
    ("GET", "/metrics/providers"): _report(ProviderUse),
    ("GET", "/metrics/latency"): _report(Latency),
    ("GET", "/metrics/routing"): _report(RoutingUse),
    ("GET", "/metrics/savings"): _report(SavingsReport),
    ("GET", "/metrics/unpriced"): _report(UnpricedModels),
    ("GET", "/metrics/wrapped/{year}"): _report(Wrapped, WrappedQuery),
    ("GET", "/metrics/export"): Operation(
        tag=METRICS,
        query=ExportQuery,
        reply="Text",
        media="text/csv",
        further_media=("application/x-ndjson", "application/zip"),
        personal=True,
    ),
    ("GET", "/metrics/query"): _report(UsageTable, UsageQuery),
    ("POST", "/metrics/query"): Operation(
        tag=METRICS, body=UsageQuery, reply=UsageTable, personal=True
    ),
}
