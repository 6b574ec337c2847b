"""OpenRouter: prices, windows and parameters of its models, all in one list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

from router_svc.backends.states.listing import parse_entry
from router_svc.backends.states.reading import Fetch, Reading, listed, section, tokens, words
from router_svc.model import Capabilities, Prices, ServedModel

_TOKENS_PRICED = 1_000_000


async def read(listing: Mapping[str, Any], fetch: Fetch) -> Reading:  # noqa: ARG001  # as all
    """Read the models."""
    return Reading(parse(listing))


def parse(listing: Mapping[str, Any]) -> tuple[ServedModel, ...]:
    """Read a list of models."""
    return tuple(_model(entry) for entry in listed(listing))


def _model(entry: Mapping[str, Any]) -> ServedModel:
    takes = words(entry.get("supported_parameters"))
    seen = words(section(entry, "architecture").get("input_modalities"))
    said = words(section(entry, "architecture").get("output_modalities"))
    return replace(
        parse_entry(entry),
        context_length=tokens(
            section(entry, "top_provider").get("context_length"), entry.get("context_length")
        ),
        prices=_prices(section(entry, "pricing")),
        capabilities=Capabilities(
            chat=None if said is None else "text" in said,
            embeddings=None if said is None else "embeddings" in said,
            tools=None if takes is None else "tools" in takes,
            vision=None if seen is None else "image" in seen,
            json_schema=None if takes is None else "structured_outputs" in takes,
            reasoning=None if takes is None else "reasoning" in takes,
        ),
    )


def _prices(pricing: Mapping[str, Any]) -> Prices | None:
    """Read prices that are written as text, in US dollars for one token."""
    prompt, completion = _dollars(pricing.get("prompt")), _dollars(pricing.get("completion"))
    return None if prompt is None or completion is None else Prices(prompt, completion)


def _dollars(value: object) -> float | None:
    try:
        dollars = float(value) * _TOKENS_PRICED if isinstance(value, str | int | float) else -1.0
    except (ValueError, OverflowError):
        return None
    # -1 stands for "depends on the model that is chosen".
    return round(dollars, 6) if isfinite(dollars) and dollars >= 0 else None
