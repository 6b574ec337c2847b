"""vLLM: the window of its models, and how many requests run and wait."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from router_svc.backends.states.listing import parse_models
from router_svc.backends.states.reading import Fetch, Reading
from router_svc.model import Capabilities, ServedModel

# One line for each engine: `vllm:num_requests_running{engine="0",…} 3.0`.
_GAUGE = re.compile(
    rb"^vllm:num_requests_(running|waiting)(?:\{[^\n]*\})? +(\d{1,9})(?:\.\d+)?\b", re.MULTILINE
)
_CAN = Capabilities(json_schema=True)


async def read(listing: Mapping[str, Any], fetch: Fetch) -> Reading:
    """Read the models and the work."""
    work = parse_metrics(await fetch("/metrics") or b"")
    return Reading(parse(listing), work.get("running"), work.get("waiting"))


def parse(listing: Mapping[str, Any]) -> tuple[ServedModel, ...]:
    """Read a list of models: all are in memory, adapters included."""
    return tuple(replace(model, loaded=True) for model in parse_models(listing, _CAN))


def parse_metrics(page: bytes) -> dict[str, int]:
    """Return the requests that are `running` and `waiting`, over all engines."""
    found: dict[str, int] = {}
    for name, value in _GAUGE.findall(page):
        found[name.decode()] = found.get(name.decode(), 0) + int(value)
    return found
