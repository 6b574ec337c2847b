"""RouterService: the wire on one side, the router on the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import asdict

import grpc
import msgspec

from lair.router.v1 import router_service_pb2 as pb
from lair.router.v1 import router_service_pb2_grpc as rpc
from router_svc.backends.base import Backend
from router_svc.catalog import Catalog
from router_svc.chats import Chats
from router_svc.completions import Completions
from router_svc.counting import Counting
from router_svc.embeddings import Embeddings
from router_svc.live import Live
from router_svc.model import AUTO, ServedModel, Snapshot, State
from router_svc.reload import Reloader
from router_svc.unloading import Unloader, Unloading, UnloadState
from router_svc.watching import watch
from svckit.errors import invalid_field
from svckit.masking import masked
from svckit.pages import decode_token, encode_token, page_size
from svckit.times import to_timestamp

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["RouterService"]

_STATES: dict[State, pb.BackendState.ValueType] = {
    State.UNKNOWN: pb.BACKEND_STATE_UNSPECIFIED,
    State.UP: pb.BACKEND_STATE_UP,
    State.DOWN: pb.BACKEND_STATE_DOWN,
    State.LOADING: pb.BACKEND_STATE_LOADING,
}

_UNLOAD_STATES: dict[UnloadState, pb.UnloadState.ValueType] = {
    UnloadState.DONE: pb.UNLOAD_STATE_DONE,
    UnloadState.PENDING: pb.UNLOAD_STATE_PENDING,
    UnloadState.UNSUPPORTED: pb.UNLOAD_STATE_UNSUPPORTED,
    UnloadState.FAILED: pb.UNLOAD_STATE_FAILED,
}


class RouterService(rpc.RouterServiceServicer):
    """Answers for the router."""

    def __init__(
        self,
        chats: Chats,
        completions: Completions,
        embeddings: Embeddings,
        catalog: Catalog,
        reloader: Reloader,
        *,
        gaming_unload: bool,
        live: Live,
    ) -> None:
        self._chats = chats
        self._completions = completions
        self._embeddings = embeddings
        self._catalog = catalog
        self._reloader = reloader
        self._counting = Counting(chats, catalog)
        self._unloader = Unloader(catalog)
        self._gaming_unload = gaming_unload
        self._live = live

    async def Chat(
        self,
        request: pb.ChatRequest,
        context: grpc.aio.ServicerContext[pb.ChatRequest, pb.ChatResponse],  # noqa: ARG002
    ) -> pb.ChatResponse:
        """Answer a chat at once."""
        return await self._chats.chat(request.call)

    async def ChatStream(
        self,
        request: pb.ChatStreamRequest,
        context: grpc.aio.ServicerContext[pb.ChatStreamRequest, pb.ChatStreamResponse],  # noqa: ARG002
    ) -> AsyncIterator[pb.ChatStreamResponse]:
        """Answer a chat as it is generated."""
        async with aclosing(self._chats.stream(request.call)) as batches:
            async for events in batches:
                yield pb.ChatStreamResponse(events=events)

    async def Complete(
        self,
        request: pb.CompleteRequest,
        context: grpc.aio.ServicerContext[pb.CompleteRequest, pb.CompleteResponse],  # noqa: ARG002
    ) -> pb.CompleteResponse:
        """Complete a text at once."""
        return await self._completions.complete(request.call)

    async def CompleteStream(
        self,
        request: pb.CompleteStreamRequest,
        context: grpc.aio.ServicerContext[pb.CompleteStreamRequest, pb.CompleteStreamResponse],  # noqa: ARG002
    ) -> AsyncIterator[pb.CompleteStreamResponse]:
        """Complete a text as it is generated."""
        async with aclosing(self._completions.stream(request.call)) as batches:
            async for events in batches:
                yield pb.CompleteStreamResponse(events=events)

    async def Embed(
        self,
        request: pb.EmbedRequest,
        context: grpc.aio.ServicerContext[pb.EmbedRequest, pb.EmbedResponse],  # noqa: ARG002
    ) -> pb.EmbedResponse:
        """Turn texts into vectors."""
        return await self._embeddings.embed(request.call)

    async def CountTokens(
        self,
        request: pb.CountTokensRequest,
        context: grpc.aio.ServicerContext[pb.CountTokensRequest, pb.CountTokensResponse],  # noqa: ARG002
    ) -> pb.CountTokensResponse:
        """Count the tokens of a chat's prompt, without running it."""
        count = await self._counting.count(request.call)
        return pb.CountTokensResponse(
            token_count=count.tokens, exact=count.exact, backend=count.backend, model=count.model
        )

    async def ListModels(
        self,
        request: pb.ListModelsRequest,
        context: grpc.aio.ServicerContext[pb.ListModelsRequest, pb.ListModelsResponse],  # noqa: ARG002
    ) -> pb.ListModelsResponse:
        """List what can be asked for."""
        size = page_size(request.page_size, default=1000, maximum=1000)
        models = _merged_models(self._catalog)
        after = decode_token(request.page_token, 1)
        page = models if after is None else [m for m in models[1:] if m.id > str(after[0])]
        token = ""
        if len(page) > size:
            last = page[size - 1]
            # `auto` stands before every id, whatever letter that begins with.
            token = encode_token("" if last is models[0] else last.id)
        return pb.ListModelsResponse(models=page[:size], next_page_token=token)

    async def ExplainRoute(
        self,
        request: pb.ExplainRouteRequest,
        context: grpc.aio.ServicerContext[pb.ExplainRouteRequest, pb.ExplainRouteResponse],  # noqa: ARG002
    ) -> pb.ExplainRouteResponse:
        """Tell where a chat would go, and why."""
        decision = self._chats.explain(request.call)
        eligible = [
            pb.RouteCandidate(backend=c.backend, model=c.model, eligible=True, reasons=c.reasons)
            for c in decision.candidates
        ]
        refused = [
            pb.RouteCandidate(backend=r.backend, model=r.model, reasons=r.reasons)
            for r in decision.refused
        ]
        return pb.ExplainRouteResponse(candidates=eligible + refused)

    async def SetBackendMode(
        self,
        request: pb.SetBackendModeRequest,
        context: grpc.aio.ServicerContext[pb.SetBackendModeRequest, pb.SetBackendModeResponse],  # noqa: ARG002
    ) -> pb.SetBackendModeResponse:
        """Take backends out of automatic choice, or put them back."""
        backends = self._named(request.backend)
        names = [backend.name for backend in backends]
        modes, unloadings = self._catalog.standings.modes, []
        if request.mode == pb.BACKEND_MODE_EXPLICIT_ONLY:
            hold = request.hold_duration
            timed = request.HasField("hold_duration")
            modes.hold(names, hold.seconds + hold.nanos / 1e9 if timed else None)
            if request.unload if request.HasField("unload") else self._gaming_unload:
                unloadings = await self._unloader.unload(b for b in backends if b.local)
        else:
            modes.release(names)
        return pb.SetBackendModeResponse(
            backends=[self._backend(*e) for e in self._catalog.backends() if e[0].name in names],
            unloadings=[_unloading(unloading) for unloading in unloadings],
        )

    async def ReloadBackends(
        self,
        request: pb.ReloadBackendsRequest,  # noqa: ARG002
        context: grpc.aio.ServicerContext[pb.ReloadBackendsRequest, pb.ReloadBackendsResponse],  # noqa: ARG002
    ) -> pb.ReloadBackendsResponse:
        """Read the configuration again."""
        change = await self._reloader.reload()
        return pb.ReloadBackendsResponse(
            added=change.added, removed=change.removed, changed=change.changed
        )

    async def ListBackends(
        self,
        request: pb.ListBackendsRequest,  # noqa: ARG002
        context: grpc.aio.ServicerContext[pb.ListBackendsRequest, pb.ListBackendsResponse],  # noqa: ARG002
    ) -> pb.ListBackendsResponse:
        """List the backends."""
        return pb.ListBackendsResponse(
            backends=[self._backend(*entry) for entry in self._catalog.backends()],
            journals=[
                pb.Journal(service=name, pending_count=pending, dropped_count=dropped)
                for name, pending, dropped in self._chats.journals()
            ],
        )

    async def WatchRequests(
        self,
        request: pb.WatchRequestsRequest,
        context: grpc.aio.ServicerContext[pb.WatchRequestsRequest, pb.WatchRequestsResponse],  # noqa: ARG002
    ) -> AsyncIterator[pb.WatchRequestsResponse]:
        """Tell of requests as they happen."""
        async with aclosing(watch(self._live, request)) as messages:
            async for message in messages:
                yield message

    def _named(self, name: str) -> list[Backend]:
        """Return the server called `name`, or every local one. Raises INVALID_FIELD."""
        servers = [entry[0] for entry in self._catalog.backends() if not entry[0].last_resort]
        if not name:
            return [server for server in servers if server.local]
        named = [server for server in servers if server.name == name]
        if not named:
            known = ", ".join(server.name for server in servers) or "none"
            raise invalid_field("backend", f"there is no backend {name!r}; there are: {known}")
        return named

    def _backend(self, backend: Backend, snapshot: Snapshot, in_flight: int) -> pb.Backend:
        standings = self._catalog.standings
        queue = standings.devices.of(backend)
        held, gaming = standings.explicit_only(backend), standings.gaming(backend)
        hold = standings.modes.held(backend.name) if gaming else None
        return pb.Backend(
            name=backend.name,
            kind=backend.kind,
            url=masked(backend.url),
            local=backend.local,
            state=_STATES[snapshot.state],
            last_error=self._catalog.last_error(backend.name),
            check_time=to_timestamp(snapshot.checked_us),
            models=[model.id for model in snapshot.models],
            in_flight_count=in_flight,
            queued_count=queue.waiting_count,
            mode=pb.BACKEND_MODE_EXPLICIT_ONLY if held else pb.BACKEND_MODE_AUTO,
            gaming=gaming,
            tokens_per_second=standings.tokens_per_second(backend.name),
            device=queue.name,
            slot_count=queue.slots,
            resting=standings.resting(backend.name),
            mode_expire_time=to_timestamp(hold.until_us) if hold and hold.until_us else None,
        )


def _unloading(unloading: Unloading) -> pb.Unloading:
    return pb.Unloading(
        backend=unloading.backend,
        state=_UNLOAD_STATES[unloading.state],
        models=unloading.models,
        error=unloading.error,
    )


def _merged_models(catalog: Catalog) -> list[pb.Model]:
    """Return `auto`, then each alias and model once, by id; who has it first stands for it."""
    models = {
        name: pb.Model(id=name, alias_targets=targets) for name, targets in catalog.aliases.items()
    }
    for backend, snapshot, _ in catalog.backends():
        for served in snapshot.models:
            models.setdefault(served.id, _model(backend, served))
    return [pb.Model(id=AUTO), *(models[name] for name in sorted(models))]


def _model(backend: Backend, served: ServedModel) -> pb.Model:
    return pb.Model(
        id=served.id,
        backend=backend.name,
        created=served.created,
        context_length=served.context_length,
        loaded=served.loaded,
        capabilities=pb.ModelCapabilities(**asdict(served.capabilities)),
        extra_json=msgspec.json.encode(served.extra) if served.extra else b"",
    )
