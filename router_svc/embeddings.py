"""One request for vectors, from arrival to record. The life of a chat without memory."""

from __future__ import annotations

from lair.router.v1.embedding_pb2 import EmbeddingCall, EmbeddingList
from lair.router.v1.router_service_pb2 import EmbedResponse
from router_svc.backends.base import Backend, Embedder
from router_svc.catalog import Catalog
from router_svc.choosing import choose_now, who_can
from router_svc.life import Ledger, Life
from router_svc.line import Priority
from router_svc.model import UpstreamError
from router_svc.relay import Relay
from router_svc.wishes import ask_of, plain_wish, require_texts
from svckit.errors import invalid_field


class Embeddings:
    """Turns texts into vectors."""

    def __init__(self, catalog: Catalog, ledger: Ledger, *, default_priority: Priority) -> None:
        self._catalog = catalog
        self._relay = Relay(catalog)
        self._ledger = ledger
        self._default_priority = default_priority

    async def embed(self, call: EmbeddingCall) -> EmbedResponse:
        """Return one vector for each input. Raises `ServiceError`."""
        with Life(call, self._ledger, streamed=False) as life:
            _check(call)
            ask = ask_of(call, self._default_priority)
            decision = await choose_now(self._catalog, plain_wish(call, "embeddings"), ask)
            able = who_can(Embedder, decision.candidates, self._catalog, to="make vectors")

            async def embed(backend: Backend, model: str) -> EmbeddingList:
                return await _embedder(backend).embed(call, model)

            result, candidate = await self._relay.whole(embed, able, life.trace, ask)
            if result.HasField("usage"):
                life.trace.used(result.usage)
            return EmbedResponse(result=result, route=life.route(candidate))


def _check(call: EmbeddingCall) -> None:
    require_texts("inputs", call.inputs)
    if call.HasField("dimensions") and call.dimensions < 1:
        raise invalid_field("dimensions", f"dimensions is {call.dimensions}; send at least 1")


def _embedder(backend: Backend) -> Embedder:
    if not isinstance(backend, Embedder):  # a reload put it there while the request waited
        raise UpstreamError("NO_BACKEND", f"it is {backend.kind} now, which makes no vectors")
    return backend
