"""What happens around every request: its id, its errors, its line in the log."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from urllib.parse import urlsplit

from aiohttp import web
from uuid_utils import uuid7

from gateway import cors
from gateway.access import ACCESS
from gateway.context import (
    SETTINGS,
    begin_of,
    has_request_id,
    key_of,
    request_id_of,
    set_request_id,
)
from gateway.dialects.errors import error_body, error_headers, is_anthropic
from gateway.headers import printable
from svckit.errors import ServiceError
from svckit.logging import bind_request_id, get_logger
from svckit.settings import LOOPBACK

log = get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# nginx's number for a client that left; nobody receives it, the log shows it.
_CLIENT_CLOSED_REQUEST = 499
_POLLED = ("/health", "/metrics")
# Of the API that lair speaks; the header has said so since.
_OPENAI_VERSION = "2020-10-01"


@web.middleware
async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Name the request, answer it whatever happens, and log one line."""
    begin = time.perf_counter()
    request_id = str(uuid7())
    set_request_id(request, request_id)
    bind_request_id(request_id)
    status = _CLIENT_CLOSED_REQUEST
    try:
        response = await _answer(request, handler)
        status = response.status
        return response
    finally:
        if request.app[SETTINGS].gateway.access_log:
            # What monitors ask every few seconds would drown what people do.
            write = log.debug if request.path in _POLLED else log.info
            write(
                "request",
                method=request.method,
                path=request.path,
                status=status,
                ms=round((time.perf_counter() - begin) * 1000, 1),
                request_id=request_id,
            )


async def add_reply_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put the request's id and the CORS headers on a reply, streams included."""
    if not has_request_id(request):  # aiohttp itself refused it before the middleware ran
        set_request_id(request, str(uuid7()))
    response.headers["x-request-id"] = request_id_of(request)
    if is_anthropic(request.path):
        response.headers["request-id"] = request_id_of(request)
    else:
        response.headers.update(_openai_headers(request))
    own = request.headers.get("X-Request-ID") or request.headers.get("X-Client-Request-ID")
    if own:
        response.headers["x-client-request-id"] = printable(own)
    response.headers.update(cors.reply_headers(request.headers, _origins(request)))
    key = key_of(request)
    if key is not None and key.limited:
        response.headers.update(request.app[ACCESS].limit_headers(key))


def _openai_headers(request: web.Request) -> dict[str, str]:
    """Return what OpenAI's own replies say of themselves."""
    milliseconds = (time.perf_counter() - begin_of(request)) * 1000
    headers = {"openai-processing-ms": f"{milliseconds:.0f}", "openai-version": _OPENAI_VERSION}
    organization = request.headers.get("OpenAI-Organization")
    return headers | {"openai-organization": printable(organization)} if organization else headers


def _origins(request: web.Request) -> tuple[str, ...]:
    return request.app[SETTINGS].gateway.allowed_origins


def as_service_error(error: Exception, request_id: str) -> ServiceError:
    """Return what to tell the client; a fault of ours is logged, and told by its id only."""
    if isinstance(error, ServiceError):
        return error
    log.error("request failed", exc_info=error)
    return ServiceError(
        "INTERNAL", f"a fault in lair itself; its log says more under request id {request_id}"
    )


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.method == "OPTIONS":
        headers = cors.preflight_headers(request.headers, _origins(request))
        return web.Response(status=204, headers=headers)
    try:
        _refuse_strange_pages(request)
        access = request.app[ACCESS]
        key = access.admit(request)
        if key is not None and key.limited:
            await access.count(request, key)
        return await handler(request)
    except web.HTTPException as refusal:
        return _error_response(request, _from_http(request, refusal))
    except web.RequestPayloadError as error:
        # Its text is the parser's: a status, then a line with the reason.
        reason = str(error).strip().rpartition("\n")[2].strip()
        return _error_response(
            request, ServiceError("INVALID_BODY", f"the body cannot be read: {reason}")
        )
    except ConnectionError:
        raise  # the client is gone: there is nobody to answer
    except Exception as error:  # noqa: BLE001  # the process edge
        return _error_response(request, as_service_error(error, request_id_of(request)))


def _refuse_strange_pages(request: web.Request) -> None:
    """Keep web pages out, which reach this machine through its owner's browser.

    One that rebinds its own name to loopback shows it in `Host`; one that posts across
    sites shows itself in `Origin`.
    """
    settings = request.app[SETTINGS].gateway
    host = _name_of(request.host)
    if settings.host in LOOPBACK and host not in (*LOOPBACK, *settings.allowed_hosts):
        raise ServiceError(
            "PERMISSION_DENIED",
            f"the request is for {host!r}, and lair answers for this machine only; add the name "
            "to gateway.allowed_hosts if it is one of yours",
        )
    if request.method not in ("GET", "HEAD") and cors.is_foreign(
        request.headers, settings.allowed_origins
    ):
        raise ServiceError("PERMISSION_DENIED", "web pages of other sites may not use this lair")


@lru_cache(maxsize=256)
def _name_of(host: str) -> str:
    """Return the name in a `Host` header, without its port; all of what is no name."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # a bracket without its other half
        return host


def _error_response(request: web.Request, error: ServiceError) -> web.Response:
    return web.Response(
        status=error.meaning.http,
        body=error_body(error, request.path, request_id_of(request)),
        content_type="application/json",
        headers={name: printable(value) for name, value in error_headers(error).items()},
    )


def _from_http(request: web.Request, refusal: web.HTTPException) -> ServiceError:
    """Word what aiohttp itself refuses."""
    match refusal:
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(refusal.allowed_methods))
            return ServiceError(
                "METHOD_NOT_ALLOWED",
                f"{request.path} does not take {request.method}; it takes {allowed}",
                method=request.method,
                allowed=allowed,
            )
        case web.HTTPRequestEntityTooLarge():
            megabytes = request.app[SETTINGS].gateway.max_body_mb
            return ServiceError(
                "BODY_TOO_LARGE",
                f"the body is larger than {megabytes} MiB; send less, or raise gateway.max_body_mb",
                limit_bytes=str(megabytes * 2**20),
            )
        case web.HTTPNotFound():
            return ServiceError(
                "UNKNOWN_PATH",
                f"nothing is served under {request.method} {request.path}; GET / lists what is",
                path=request.path,
            )
        case _:
            return ServiceError("INVALID_BODY", refusal.reason)
