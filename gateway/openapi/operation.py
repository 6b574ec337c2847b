"""What the document says of one route beyond what the route itself tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

# A Struct of `gateway.dialects`, or the name of a schema of `gateway.openapi.schemas`.
Shape = type[Struct] | str
ANTHROPIC_ERROR = "AnthropicError"
JSON, EVENTS = "application/json", "text/event-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a route takes and answers; its summary is its handler's docstring.

    `model_call` is a request that goes to a model, and heeds lair's own headers; the
    answer of one that `streams` may be a stream of events as well, and one may have
    `further_media` to choose from. `personal` answers
    are about one user's data. `other` are answers of other statuses that are no errors.
    """

    tag: str
    reply: Shape
    status: int = 200
    media: str = JSON
    further_media: tuple[str, ...] = ()
    query: Shape | None = None
    body: Shape | None = None
    body_required: bool = True
    model_call: bool = False
    streams: bool = False
    personal: bool = False
    other: Mapping[int, Shape] = field(default_factory=dict)
    error: str = "Error"
    description: str = ""


Schema = dict[str, Any]
