"""What use cost and saved, as the JSON of `/metrics/*`: US dollars, null for what is unknown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

from gateway.dialects.rest_types import Count, Milliseconds, word, words
from lair.metrics.v1 import report_service_pb2 as reports_pb2

_NANO = 1e9
_US_PER_MS = 1000
_CONFIDENCE = "CONFIDENCE_"

Dollars = Annotated[float, Meta(description="US dollars.")]
CostUsd = Annotated[
    Annotated[float, Meta(ge=0)] | None,
    Meta(description="US dollars, as far as known; null where the cost of nothing is."),
]
Unpriced = Annotated[int, Meta(ge=0, description="Requests whose cost is unknown.")]
Sureness = Annotated[
    str,
    Meta(
        description="How sure the electricity is: `unknown` where some or all is not taken off.",
        extra_json_schema=words(reports_pb2.Confidence, _CONFIDENCE),
    ),
]


class Comparison(Struct, frozen=True):
    """What the same tokens would have cost elsewhere."""

    known_ratio: Annotated[
        float, Meta(ge=0, le=1, description="The part of the requests with such a price.")
    ]
    reference_usd: Annotated[
        Annotated[float, Meta(ge=0)] | None, Meta(description="What those would have cost.")
    ]
    saved_usd: Annotated[
        float | None,
        Meta(description="That less costs and electricity: negative where lair was dearer."),
    ]


class Saved(Struct, frozen=True):
    """What one local model saved, or all of them."""

    model: Annotated[str | None, Meta(description="null for all together.")]
    requests: Count
    tokens: Count
    cost_usd: Dollars
    electricity_usd: Dollars | None
    kwh: Annotated[float, Meta(ge=0)] | None
    same_model: Annotated[
        Comparison, Meta(description="The same model sold: the median of those who sell it.")
    ]
    replacement: Annotated[
        Comparison, Meta(description="The paid model that is configured as `costs.instead`.")
    ]
    confidence: Sureness


class Drawn(Struct, frozen=True):
    """What a backend in the house drew, whoever asked it."""

    backend: str
    busy_ms: Annotated[Milliseconds, Meta(description="While at least one request was in flight.")]
    watts: float | None


class RemoteSaved(Struct, frozen=True):
    """What remote models cost less than their providers' lists say."""

    requests: Count
    tokens: Count
    cost_usd: Annotated[float, Meta(ge=0, description="Of those that are compared.")]
    list_price: Comparison


class SavingsReport(Struct, frozen=True):
    """What local models saved, the most used first, and remote ones below their list."""

    total: Saved
    models: list[Saved]
    remote: RemoteSaved
    kwh_usd: Annotated[float | None, Meta(description="As `costs.kwh` is configured.")]
    backends: list[Drawn]


class UnpricedModel(Struct, frozen=True):
    """A model whose price was not known, and the table to fill in for it."""

    backend: str
    model: str
    requests: Count
    tokens: Count
    toml: Annotated[str, Meta(description="For `lair.toml`; costs so far stay as they are.")]


class UnpricedModels(Struct, frozen=True):
    """Models with tokens but no known price, the most tokens first."""

    models: list[UnpricedModel]


def usd(nano: int) -> float:
    """Return billionths of a US dollar in dollars."""
    return nano / _NANO


def cost_usd(cost: reports_pb2.Cost) -> float | None:
    """Return a cost in US dollars; None where it is unknown."""
    return usd(cost.nano_usd) if cost.HasField("nano_usd") else None


def savings_json(savings: reports_pb2.GetSavingsResponse) -> SavingsReport:
    """Write what was saved."""
    return SavingsReport(
        total=saved_json(savings.total),
        models=[saved_json(each) for each in savings.models],
        remote=RemoteSaved(
            requests=savings.remote.request_count,
            tokens=savings.remote.token_count,
            cost_usd=usd(savings.remote.cost_nano_usd),
            list_price=_comparison_json(savings.remote.list_price),
        ),
        kwh_usd=savings.kwh_usd if savings.HasField("kwh_usd") else None,
        backends=[
            Drawn(
                backend=each.backend,
                busy_ms=each.busy_us / _US_PER_MS,
                watts=each.watts if each.HasField("watts") else None,
            )
            for each in savings.backends
        ],
    )


def saved_json(saved: reports_pb2.Savings) -> Saved:
    """Write what one model saved."""
    known = saved.HasField
    return Saved(
        model=saved.model or None,
        requests=saved.request_count,
        tokens=saved.token_count,
        cost_usd=usd(saved.cost_nano_usd),
        electricity_usd=(
            usd(saved.electricity_nano_usd) if known("electricity_nano_usd") else None
        ),
        kwh=saved.kwh if known("kwh") else None,
        same_model=_comparison_json(saved.same_model),
        replacement=_comparison_json(saved.replacement),
        confidence=word(reports_pb2.Confidence.Name(saved.confidence), _CONFIDENCE),
    )


def unpriced_json(models: Iterable[reports_pb2.UnpricedModel]) -> UnpricedModels:
    """Write which models have no price."""
    return UnpricedModels(
        [
            UnpricedModel(it.backend, it.model, it.request_count, it.token_count, it.toml)
            for it in models
        ]
    )


def _comparison_json(comparison: reports_pb2.Comparison) -> Comparison:
    known = comparison.HasField
    return Comparison(
        known_ratio=comparison.known_ratio,
        reference_usd=(usd(comparison.reference_nano_usd) if known("reference_nano_usd") else None),
        saved_usd=usd(comparison.saved_nano_usd) if known("saved_nano_usd") else None,
    )
