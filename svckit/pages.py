"""Pages of a long list: sizes and opaque tokens (AIP-158)."""

from __future__ import annotations

import base64
import binascii

from svckit.errors import invalid_field


def page_size(asked: int, *, default: int, maximum: int) -> int:
    """Return how many to list: `default` for 0, never more than `maximum`."""
    if asked < 0:
        raise invalid_field("page_size", f"page_size is {asked}; send 0 to {maximum}")
    return min(asked or default, maximum)


def encode_token(*position: int | str) -> str:
    """Name the place where the next page begins."""
    text = "\x1f".join(f"{type(part).__name__[0]}{part}" for part in position)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_token(token: str, parts: int) -> tuple[int | str, ...] | None:
    """Return the place that `encode_token` named; None for the first page."""
    if not token:
        return None
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        position = tuple(
            int(part[1:]) if part[0] == "i" else part[1:] for part in text.split("\x1f")
        )
    except (binascii.Error, ValueError, IndexError) as error:
        raise _foreign_token() from error
    if len(position) != parts:
        raise _foreign_token()
    return position


def _foreign_token() -> Exception:
    return invalid_field(
        "page_token", "page_token is not one that next_page_token gave; leave it empty"
    )
