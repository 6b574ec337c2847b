"""How each kind of server is told to take its models out of memory.

By the ways their makers document. A server without one answers `CannotUnloadError`:
nothing else is tried, for a guess might stop what somebody else works with.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from router_svc.backends.base import Backend, Flavoured
from router_svc.backends.connection import Connection, Document
from router_svc.backends.flavours import Flavour, entries_of
from router_svc.backends.reply_json import parse_lenient, upstream_error
from router_svc.backends.states.ollama import parse_ps
from router_svc.model import UpstreamError

# To stop a process, or to free many gigabytes, takes a server a while.
_SECONDS = 30.0
_NO_SUCH_PATH = (404, 405)


class CannotUnloadError(Exception):
    """The server has no way to; the message says so of its kind."""


# Gets a document below the server's root, or posts a body for it.
Ask = Callable[[str, object | None], Awaitable[Document]]
Way = Callable[[Ask], Awaitable[tuple[str, ...]]]


def way_to_unload(backend: Backend) -> Way:
    """Return how servers of the kind of `backend` unload. Raises `CannotUnloadError`."""
    flavour = backend.flavour if isinstance(backend, Flavoured) else None
    way = _WAYS.get(flavour) if flavour else None
    if way is None:
        raise CannotUnloadError(f"{flavour or backend.kind} has no way to unload models")
    return way


async def unload(backend: Backend) -> tuple[str, ...]:
    """Take all models of `backend` out of memory; return which there were.

    Raises `CannotUnloadError` and `UpstreamError`.
    """
    way = way_to_unload(backend)
    root = backend.url.removesuffix("/v1")
    connection = Connection(backend.config)

    async def ask(path: str, body: object | None) -> Document:
        payload = None if body is None else msgspec.json.encode(body)
        return await connection.fetch(root + path, seconds=_SECONDS, body=payload)

    try:
        return await way(ask)
    finally:
        await connection.close()


async def _ollama(ask: Ask) -> tuple[str, ...]:
    loaded = parse_ps(_body(await ask("/api/ps", None))) or {}
    await _each(ask, "/api/generate", [{"model": name, "keep_alive": 0} for name in loaded])
    return tuple(loaded)


async def _llama_swap(ask: Ask) -> tuple[str, ...]:
    running = entries_of(_body(await ask("/running", None)), "running")
    reply = await ask("/api/models/unload", {})
    if reply.status in _NO_SUCH_PATH:  # before it had an API
        reply = await ask("/unload", None)
    _body(reply)
    return tuple(str(entry["model"]) for entry in running if entry.get("model"))


async def _lm_studio(ask: Ask) -> tuple[str, ...]:
    listing = parse_lenient((await ask("/api/v1/models", None)).payload)
    if "models" not in listing:
        raise CannotUnloadError("LM Studio before 0.4 has no way to unload models")
    loaded = [
        str(instance["id"])
        for model in entries_of(listing, "models")
        for instance in entries_of(model, "loaded_instances")
        if instance.get("id")
    ]
    await _each(ask, "/api/v1/models/unload", [{"instance_id": name} for name in loaded])
    return tuple(loaded)


_WAYS: Mapping[Flavour, Way] = {
    Flavour.OLLAMA: _ollama,
    Flavour.LLAMASWAP: _llama_swap,
    Flavour.LMSTUDIO: _lm_studio,
}


async def _each(ask: Ask, path: str, questions: Iterable[object]) -> None:
    """Ask all `questions`, whatever becomes of some. Raises the last `UpstreamError`."""
    failure: UpstreamError | None = None
    for question in questions:
        try:
            _body(await ask(path, question))
        except UpstreamError as error:
            failure = error
            if error.unreachable:
                break
    if failure:
        raise failure


def _body(reply: Document) -> Mapping[str, Any]:
    """Return what a reply says. Raises `UpstreamError` where that is a refusal."""
    if reply.status >= 400:  # noqa: PLR2004
        raise upstream_error(reply.status, reply.payload)
    body = parse_lenient(reply.payload)
    if error := body.get("error"):
        raise UpstreamError("UPSTREAM_FAILED", f"refused: {error}", status=reply.status)
    return body
