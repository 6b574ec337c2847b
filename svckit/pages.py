"""Pages of a long list: sizes and opaque tokens (AIP-158)."""

from __future__ import annotations

import base64
import json

from svckit.errors import invalid_field


def page_size(asked: int, *, default: int, maximum: int) -> int:
    """Return how many to list: `default` for 0, never more than `maximum`."""
    if asked < 0:
        raise invalid_field("page_size", f"page_size is {asked}; send 0 to {maximum}")
    return min(asked or default, maximum)


def encode_token(*position: int | str) -> str:
    """Name the place where the next page begins."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def decode_token(token: str, parts: int) -> tuple[int | str, ...] | None:
    """Return the place that `encode_token` named; None for the first page."""
    if not token:
        return None
    try:
        position = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, RecursionError) as error:
        raise _foreign_token() from error
    if not isinstance(position, list) or len(position) != parts:
        raise _foreign_token()
    if not all(type(part) in (int, str) for part in position):
        raise _foreign_token()
    return tuple(position)


def _foreign_token() -> Exception:
    return invalid_field(
        "page_token", "page_token is not one that next_page_token gave; leave it empty"
    )
