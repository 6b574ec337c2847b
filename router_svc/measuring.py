"""What a finished request adds to the counters of `svckit.telemetry`.

All labels are bounded: models are those that backends list, of which only so many are told
apart; endpoints are those of lair's APIs.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

from prometheus_client import Counter, Histogram

from lair.metrics.v1.usage_pb2 import Status
from router_svc.trace import Trace
from router_svc.usage import Tokens
from svckit import telemetry

MOST_MODELS = 200
OTHER, NONE = "other", "none"
_ENDPOINTS = frozenset(
    (
        *("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/messages"),
        *("/v1/responses", "summary", "grpc"),
    )
)
_STATUS_PREFIX = "STATUS_"


def measure(trace: Trace, tokens: Tokens) -> None:
    """Count a request that is over."""
    model, backend = _model_label(trace.model), trace.backend or NONE
    given = trace.call.endpoint or "grpc"
    endpoint = given if given in _ENDPOINTS else OTHER
    requests, seconds, first = _children(endpoint, model, backend, trace.status)
    requests.inc()
    duration = trace.duration_us()
    seconds.observe(duration / 1e6)
    telemetry.OVERHEAD_SECONDS.observe(max(0, duration - trace.upstream_us - trace.queue_us) / 1e6)
    if trace.first_token_us is not None:
        first.observe(trace.first_token_us / 1e6)
    if tokens.usage is not None and tokens.told:
        prompt, completion = _token_children(model, backend)
        prompt.inc(tokens.usage.prompt_tokens)
        completion.inc(tokens.usage.completion_tokens)
    if len(trace.attempts) > 1:
        _count_fallbacks(trace)


def _count_fallbacks(trace: Trace) -> None:
    for failed, following in pairwise(trace.attempts):
        reason = _word(failed.status)
        telemetry.FALLBACKS.labels(failed.backend, following.backend, reason).inc()


_models: set[str] = set()


def _model_label(model: str) -> str:
    """Return the label of a model; a backend may list thousands."""
    if not model or model in _models:
        return model or NONE
    if len(_models) >= MOST_MODELS:
        return OTHER
    _models.add(model)
    return model


def _word(status: int) -> str:
    return Status.Name(Status.ValueType(status)).removeprefix(_STATUS_PREFIX).lower()


@cache
def _children(
    endpoint: str, model: str, backend: str, status: int
) -> tuple[Counter, Histogram, Histogram]:
    """Look up the labelled counters once: prometheus_client does it by locking and hashing."""
    return (
        telemetry.REQUESTS.labels(endpoint, model, backend, _word(status)),
        telemetry.REQUEST_SECONDS.labels(backend),
        telemetry.FIRST_TOKEN_SECONDS.labels(backend),
    )


@cache
def _token_children(model: str, backend: str) -> tuple[Counter, Counter]:
    tokens = telemetry.TOKENS
    return tokens.labels("prompt", model, backend), tokens.labels("completion", model, backend)
