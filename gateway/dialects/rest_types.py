"""Values that lair's own JSON is made of.

Replies and requests of lair's own endpoints are msgspec Structs: what is sent and read
is what the OpenAPI document says, for both come from the same class.
"""

from __future__ import annotations

from typing import Annotated, Any, Protocol

from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]
Ratio = Annotated[float, Meta(ge=0, le=1, description="A part of the whole, 0 to 1.")]
Milliseconds = Annotated[float, Meta(ge=0)]
Time = Annotated[str, Meta(description="UTC.", extra_json_schema={"format": "date-time"})]
Day = Annotated[str, Meta(description="A local day.", extra_json_schema={"format": "date"})]
Usage = Annotated[
    dict[str, Any],
    Meta(
        description="Token counts, as the OpenAI API writes them.",
        extra_json_schema={
            "properties": {
                "prompt_tokens": {"type": "integer", "minimum": 0},
                "completion_tokens": {"type": "integer", "minimum": 0},
                "total_tokens": {"type": "integer", "minimum": 0},
            },
            "required": ["prompt_tokens", "completion_tokens", "total_tokens"],
        },
    ),
]


class Enum(Protocol):
    """An enum of the contract."""

    def keys(self) -> list[str]:
        """Return the names of its values."""
        ...


def rfc3339(time: Timestamp) -> str | None:
    """Write a time as `2026-11-21T03:10:00Z`; None for the beginning of 1970, which is unset."""
    return time.ToJsonString() if time.seconds or time.nanos else None


def word(name: str, prefix: str) -> str:
    """Turn the name of an enum's value into the word a person reads."""
    return name.removeprefix(prefix).lower()


def words(enum: Enum, prefix: str) -> dict[str, Any]:
    """Describe a text that is one of an enum's words."""
    return {"enum": [word(name, prefix) for name in enum.keys()]}  # noqa: SIM118  # no mapping
