"""A client's connection: what aiohttp refuses before any handler runs is worded here.

A request that is no valid HTTP has no path and no headers to go by, so it passes no
middleware; its client is answered as any other nevertheless, and its fault costs one
line of the log.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.http_exceptions import InvalidURLError, LineTooLong
from uuid_utils import uuid7

from gateway.dialects.errors import error_headers, error_json
from gateway.middleware import as_service_error
from svckit.errors import ServiceError
from svckit.logging import get_logger

log = get_logger(__name__)

_BAD_REQUEST = 400
_LONGEST_REASON = 200


class Connection(web.RequestHandler):
    """Speaks HTTP with one client, and says in the words of the API what is not HTTP."""

    __slots__ = ()

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
            log.info("request refused", status=status, error=error.message, request_id=request_id)
        else:
            fault = exc if isinstance(exc, Exception) else RuntimeError(message)
            error = as_service_error(fault, request_id)
        headers = {**error_headers(error), "x-request-id": request_id}
        response = web.Response(
            status=error.meaning.http,
            body=error_json(error),
            headers=headers,
            content_type="application/json",
        )
        response.force_close()
        return response


def _explain(error: BaseException | None, message: str) -> str:
    if isinstance(error, LineTooLong):
        limit = error.args[1]
        return f"the address or a header is longer than {limit} bytes; send a shorter one"
    # Its first line is the reason; the others point at the byte.
    reason = message.strip().partition("\n")[0].rstrip(":.")[:_LONGEST_REASON]
    if isinstance(error, InvalidURLError):
        reason = f"{reason} is no address"
    return f"this is no valid HTTP request: {reason}"
