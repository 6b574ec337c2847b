"""What handlers find in their application and request."""

from __future__ import annotations

import time

from aiohttp import web

from gateway.clients import Clients
from svckit.keys import ApiKey
from svckit.settings import Settings

SETTINGS = web.AppKey("settings", Settings)
CLIENTS = web.AppKey("clients", Clients)

_REQUEST_ID = web.RequestKey("request_id", str)
_BEGIN = web.RequestKey("begin", float)
_KEY = web.RequestKey("key", ApiKey)


def set_request_id(request: web.Request, request_id: str) -> None:
    """Name the request and note that it begins; done once, before any handler runs."""
    request[_REQUEST_ID] = request_id
    request[_BEGIN] = time.perf_counter()


def begin_of(request: web.Request) -> float:
    """Return when the request began, by `time.perf_counter`."""
    return request[_BEGIN]


def has_request_id(request: web.Request) -> bool:
    """Tell whether the request has been named."""
    return _REQUEST_ID in request


def request_id_of(request: web.Request) -> str:
    """Return the request's UUIDv7."""
    return request[_REQUEST_ID]


def set_key(request: web.Request, key: ApiKey) -> None:
    """Note the key that the request came with; done once, before any handler runs."""
    request[_KEY] = key


def key_of(request: web.Request) -> ApiKey | None:
    """Return the key that the request came with.

    None is the owner of the machine: no keys are configured, or it is the owner's token.
    """
    return request.get(_KEY)
