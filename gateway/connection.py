"""A client's connection: what aiohttp refuses before any handler runs is worded here.

A request that is no valid HTTP has no path and no headers to go by, so it passes no
middleware; its client is answered as any other nevertheless, and its fault costs one
line of the log.
"""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import InvalidURLError, LineTooLong
from uuid_utils import uuid7

from gateway.context import request_id_of, set_request_id
from gateway.dialects.errors import error_body, error_headers
from gateway.middleware import as_service_error
from svckit.errors import ServiceError, invalid_field
from svckit.logging import get_logger

log = get_logger(__name__)

_BAD_REQUEST = 400
_LONGEST_REASON = 200


class Connection(web.RequestHandler):
    """Speaks HTTP with one client, and says in the words of the API what is not HTTP."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Read on; tell who reads a body that it breaks the rules of HTTP.

        aiohttp's parser forgets the body, and whoever waits for the rest of it would wait
        for ever.
        """
        super().data_received(data)
        fault = getattr(self._messages[-1][0], "exc", None) if self._messages else None
        body = self._unfinished_body() if fault else None
        if fault and body:
            self._messages.pop()  # it is the answer to the request that has begun
            body.set_exception(web.RequestPayloadError(str(fault)))
            self.close()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a reply; what aiohttp answers before any middleware ran is worded anew."""
        if resp.status == HTTPStatus.EXPECTATION_FAILED and isinstance(request, web.Request):
            set_request_id(request, str(uuid7()))
            resp = _refusal(request, _unmet(request), request_id_of(request))
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what aiohttp refuses, or failed at; the connection ends with it."""
        if isinstance(exc, ConnectionError) or request.writer.output_size:
            raise ConnectionError("the client is gone, or has half a reply") from exc
        request_id = str(uuid7())
        if status == _BAD_REQUEST:
            error = ServiceError("INVALID_BODY", _explain(exc, message or ""))
            response = _refusal(request, error, request_id)
        elif isinstance(exc, UnicodeEncodeError) and "Expect" in request.headers:
            # aiohttp repeats the header, and fails at one that is not UTF-8.
            response = _refusal(request, _unmet(request), request_id)
        else:
            fault = exc if isinstance(exc, Exception) else RuntimeError(message)
            response = _reply(request, as_service_error(fault, request_id), request_id)
        response.headers["x-request-id"] = request_id
        response.force_close()
        return response

    def _unfinished_body(self) -> StreamReader | None:
        """Return the body that is being sent, if one is."""
        waiting = [payload for _, payload in self._messages][:-1]
        request = self._current_request
        body = waiting[-1] if waiting else request.content if request else None
        return None if body is None or body.is_eof() or body.exception() else body


def _unmet(request: web.BaseRequest) -> ServiceError:
    wanted = request.headers.get("Expect", "")
    message = f"the header Expect is {wanted!r}; send 100-continue, or leave it out"
    return invalid_field("Expect", message)


def _refusal(request: web.BaseRequest, error: ServiceError, request_id: str) -> web.Response:
    log.info("request refused", status=_BAD_REQUEST, error=error.message, request_id=request_id)
    return _reply(request, error, request_id)


def _reply(request: web.BaseRequest, error: ServiceError, request_id: str) -> web.Response:
    return web.Response(
        status=error.meaning.http,
        body=error_body(error, request.path, request_id),
        headers=error_headers(error),
        content_type="application/json",
    )


def _explain(error: BaseException | None, message: str) -> str:
    if isinstance(error, LineTooLong):
        limit = error.args[1]
        return f"the address or a header is longer than {limit} bytes; send a shorter one"
    # Its first line is the reason; the others point at the byte.
    reason = message.strip().partition("\n")[0].rstrip(":.")[:_LONGEST_REASON]
    if isinstance(error, InvalidURLError):
        reason = f"{reason} is no address"
    return f"this is no valid HTTP request: {reason}"
