"""What a state probe yields, and how it fetches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from router_svc.backends.flavours import entries_of
from router_svc.backends.reply_json import whole
from router_svc.model import ServedModel

# Fetches a document below the server's root, whatever its status; None where nobody answers.
Fetch = Callable[[str], Awaitable[bytes | None]]

_INT32_LIMIT = 2**31


@dataclass(frozen=True, slots=True)
class Reading:
    """What a server told: its models, and its work where it counts it."""

    models: tuple[ServedModel, ...]
    running: int | None = None
    waiting: int | None = None
    # Whether it still loads what it is to serve.
    loading: bool = False


def listed(listing: object) -> list[dict[str, Any]]:
    """Return the entries of a `/models` reply that name a model."""
    return [entry for entry in entries_of(listing, "data") if entry.get("id")]


def tokens(*values: object) -> int | None:
    """Return the first of `values` that is a number of tokens."""
    for value in values:
        number = None if isinstance(value, bool) else whole(value, _INT32_LIMIT)
        if number is not None and number > 0:
            return number
    return None


def flag(value: object) -> bool | None:
    """Return a truth value that was given; None for anything else."""
    return value if isinstance(value, bool) else None


def section(body: object, *names: str) -> Mapping[str, Any]:
    """Return the object that lies at `names` in `body`; an empty one where there is none."""
    for name in names:
        body = body.get(name) if isinstance(body, Mapping) else None
    return body if isinstance(body, Mapping) else {}


def words(value: object) -> frozenset[str] | None:
    """Return a list of texts as a set; None where it is no list."""
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | Mapping):
        return None
    return frozenset(word for word in value if isinstance(word, str))
