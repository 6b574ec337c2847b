"""Ids of responses and of the items they are made of. Pure.

A response is named after the request that made it, and each item after the message it is
part of: one that a model said by that request, any other by its number in memory. So an
item has one id wherever it is shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

RESPONSE = "resp_"
CONVERSATION = "conv_"
_ITEM = re.compile(r"(msg|rs|fc|ctc|fco)_([0-9a-f]{32}|[0-9]{1,18})(?:_([0-9]{1,6}))?")


@dataclass(frozen=True, slots=True)
class ItemId:
    """An item's id, taken apart: `request_id` or else `message_id` names its message."""

    kind: str
    request_id: str
    message_id: int
    index: int


def digits_of(request_id: str) -> str:
    """Return the 32 hex digits of a request's id; empty where it is no UUID."""
    try:
        return UUID(request_id).hex
    except ValueError:
        return ""


def request_of(name: str, prefix: str) -> str:
    """Return the request that `prefix` and 32 hex digits name; empty where they do not."""
    digits = name.removeprefix(prefix)
    if digits == name or not re.fullmatch("[0-9a-f]{32}", digits):
        return ""
    return str(UUID(hex=digits))


def asked_seconds(request_id: str) -> int:
    """Return when a request came in, in seconds since 1970 UTC: its UUIDv7 holds it."""
    return (UUID(request_id).int >> 80) // 1000


def parse_item_id(name: str) -> ItemId | None:
    """Take an item's id apart; None where it is none of ours."""
    found = _ITEM.fullmatch(name)
    if found is None:
        return None
    kind, origin, index = found.groups()
    is_request = len(origin) == 32  # noqa: PLR2004  # the hex digits of a UUID
    return ItemId(
        kind=kind,
        request_id=str(UUID(hex=origin)) if is_request else "",
        message_id=0 if is_request else int(origin),
        index=int(index or 0),
    )
