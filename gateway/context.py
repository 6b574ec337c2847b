"""What handlers find in their application and request."""

from __future__ import annotations

from aiohttp import web

from gateway.clients import Clients
from svckit.settings import Settings

SETTINGS = web.AppKey("settings", Settings)
CLIENTS = web.AppKey("clients", Clients)

_REQUEST_ID = web.RequestKey("request_id", str)


def set_request_id(request: web.Request, request_id: str) -> None:
    """Name the request; done once, before any handler runs."""
    request[_REQUEST_ID] = request_id


def has_request_id(request: web.Request) -> bool:
    """Tell whether the request has been named."""
    return _REQUEST_ID in request


def request_id_of(request: web.Request) -> str:
    """Return the request's UUIDv7."""
    return request[_REQUEST_ID]
