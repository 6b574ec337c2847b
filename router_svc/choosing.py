"""Choosing among what the catalogue knows, after a second look where that is not enough."""

from __future__ import annotations

from collections.abc import Sequence

from router_svc.catalog import Catalog
from router_svc.model import Candidate
from router_svc.policy import Decision, Wish, choose
from router_svc.queue import Ask
from svckit.errors import ServiceError


async def choose_now(catalog: Catalog, wish: Wish, ask: Ask) -> Decision:
    """Decide who may answer. Raises `ServiceError` where nobody may."""
    try:
        return choose(wish, catalog.known(ask))
    except ServiceError as error:
        if error.reason not in ("MODEL_NOT_FOUND", "NO_BACKEND"):
            raise
    # A model may have been pulled, or a server started, since the last look.
    await catalog.refresh(if_older=True)
    return choose(wish, catalog.known(ask))


def who_can(
    ability: type, candidates: Sequence[Candidate], catalog: Catalog, *, to: str
) -> list[Candidate]:
    """Pass over backends of kinds that lack `ability`, a protocol of `backends/base.py`.

    Raises NO_BACKEND where that is all of them; `to` says what was wanted of them.
    """
    unable = {
        backend.name for backend, *_ in catalog.backends() if not isinstance(backend, ability)
    }
    able = [candidate for candidate in candidates if candidate.backend not in unable]
    if not able:
        names = ", ".join(sorted({candidate.backend for candidate in candidates}))
        raise ServiceError("NO_BACKEND", f"no backend is able to {to} (asked for: {names})")
    return able
