"""How many tokens a request took, and who says so: what its record tells.

The backend's `usage`, else its timings (llama.cpp's, in any answer's further fields), else
an estimate by the bytes that went to it and came back, which is right after learning what
the model's tokens are like. Nothing is made up for a request that got no answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lair.common.v1.chat_pb2 import Usage
from lair.metrics.v1.usage_pb2 import (
    USAGE_SOURCE_COUNTED,
    USAGE_SOURCE_ESTIMATED,
    USAGE_SOURCE_MISSING,
    USAGE_SOURCE_UPSTREAM,
    USAGE_SOURCE_UPSTREAM_TIMINGS,
    UsageSource,
)
from lair.router.v1.chat_pb2 import ChatCall
from lair.router.v1.embedding_pb2 import EmbeddingCall
from lair.router.v1.input_pb2 import TextInput
from router_svc.backends.reply_json import whole
from router_svc.model import Call
from router_svc.tokens import Size, TokenEstimator, measure, size_of_texts

if TYPE_CHECKING:  # which ends in this module
    from router_svc.trace import Trace

_NANO = 10**9
_MOST_USD = 10_000  # of one request; more is no amount of dollars
_TOLD = (USAGE_SOURCE_UPSTREAM, USAGE_SOURCE_UPSTREAM_TIMINGS)


class Tokens(NamedTuple):
    """The tokens of one request, and what it cost by its backend's bill; None is unknown."""

    usage: Usage | None
    source: UsageSource.ValueType
    billed_nano_usd: int | None = None

    @property
    def told(self) -> bool:
        """Whether the backend told them."""
        return self.source in _TOLD


_UNKNOWN = Tokens(None, USAGE_SOURCE_MISSING)


def tokens_of(trace: Trace, estimator: TokenEstimator) -> Tokens:
    """Return what is known of the tokens of a request that has ended."""
    if trace.usage is not None and _says_something(trace.usage):
        return Tokens(trace.usage, USAGE_SOURCE_UPSTREAM, _billed(trace))
    alone = len(trace.answers()) == 1  # of several, each has timings of its own
    if alone and (usage := _of_timings(trace.last_extra_json)) is not None:
        return Tokens(usage, USAGE_SOURCE_UPSTREAM_TIMINGS)
    if not trace.answered or not trace.backend or trace.generated_from_memory:
        return _UNKNOWN
    return _estimated(trace, estimator)


def _says_something(usage: Usage) -> bool:
    return any(
        usage.HasField(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    )


def _billed(trace: Trace) -> int | None:
    """Read the bill, in billionths of a US dollar, as OpenRouter adds it to the usage."""
    extra = trace.usage.extra_json if trace.usage and not trace.local else b""
    if b'"cost"' not in extra:
        return None
    cost = msgspec.json.decode(extra).get("cost")
    is_amount = isinstance(cost, int | float) and 0 <= cost < _MOST_USD
    return round(cost * _NANO) if is_amount else None


def _of_timings(extra_json: bytes) -> Usage | None:
    """Read the timings of an answer's last chunk; None where there are none."""
    if b'"timings"' not in extra_json:
        return None
    timings = msgspec.json.decode(extra_json).get("timings")
    if not isinstance(timings, Mapping):
        return None
    fresh, answer = _count(timings, "prompt_n"), _count(timings, "predicted_n")
    if fresh is None or answer is None:
        return None
    cached = _count(timings, "cache_n")  # not part of `prompt_n`
    prompt = fresh + (cached or 0)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=answer,
        total_tokens=prompt + answer,
        cached_tokens=cached,
    )


def _count(timings: Mapping[str, Any], name: str) -> int | None:
    number = whole(timings.get(name))
    return number if number is not None and number >= 0 else None


def _estimated(trace: Trace, estimator: TokenEstimator) -> Tokens:
    """Estimate what nobody told; what was counted of it is taken as it is."""
    prompt, exact = _prompt(trace, estimator)
    said = sum(answer.text_bytes() for answer in trace.answers())
    answer = estimator.tokens(Size(said), trace.backend, trace.model)
    usage = Usage(
        prompt_tokens=prompt,
        completion_tokens=None if isinstance(trace.call, EmbeddingCall) else answer,
        total_tokens=prompt + answer,
    )
    return Tokens(usage, USAGE_SOURCE_COUNTED if exact and not said else USAGE_SOURCE_ESTIMATED)


def _prompt(trace: Trace, estimator: TokenEstimator) -> tuple[int, bool]:
    """Return the tokens of what was sent, and whether they were counted."""
    counted = trace.fitting.counted_tokens if trace.fitting else None
    if counted is not None:
        return counted, True
    size = _size(trace.fitting.sent if trace.fitting else trace.call)
    return estimator.tokens(size, trace.backend, trace.model), not size.text_bytes


def _size(call: Call) -> Size:
    if isinstance(call, ChatCall):
        return measure(call)
    if isinstance(call, EmbeddingCall):
        return size_of_texts(call.inputs)
    return size_of_texts((*call.prompts, TextInput(text=call.suffix)))
