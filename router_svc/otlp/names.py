"""Names of OpenTelemetry's conventions for generative AI, which are still in development.

Of open-telemetry/semantic-conventions-genai: metrics as of commit 004902b8cb70, spans as of
002c8a6ea1c8. Ours, because the constants of the Python package are deprecated as moved.
"""

from __future__ import annotations

OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
CONVERSATION_ID = "gen_ai.conversation.id"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
RESPONSE_TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_CREATION = "gen_ai.usage.cache_creation.input_tokens"
USAGE_REASONING = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105  # no secret
INPUT, OUTPUT = "input", "output"

CHAT, TEXT_COMPLETION, EMBEDDINGS = "chat", "text_completion", "embeddings"
SEARCH_MEMORY = "search_memory"

# Instruments, their units, and the bounds that the conventions advise.
TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105  # no secret
OPERATION_DURATION = "gen_ai.client.operation.duration"
TIME_TO_FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
TOKEN_BOUNDS = tuple(float(4**power) for power in range(14))
DURATION_BOUNDS = tuple(0.01 * 2**power for power in range(14))
FIRST_CHUNK_BOUNDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1),
    *(0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)

# Of the conventions for everything else, which are stable.
ERROR_TYPE = "error.type"
HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"
RPC_SYSTEM = "rpc.system"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"

# Ours.
REQUEST_ID = "lair.request.id"
PROJECT = "lair.project"
ORIGIN = "lair.origin"
BACKEND = "lair.backend"
QUEUE_SECONDS = "lair.queue.duration"
USAGE_SOURCE = "lair.usage.source"
