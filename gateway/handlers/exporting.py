"""GET /metrics/export: counted requests as a file, which may be larger than memory."""

from __future__ import annotations

from aiohttp import web

from gateway.clients import export
from gateway.context import CLIENTS, request_id_of
from gateway.dialects.rest_queries import ExportQuery
from gateway.dialects.rest_reading import read_query
from gateway.handlers.reporting import report_scope
from gateway.middleware import as_service_error
from lair.metrics.v1.report_service_pb2 import (
    EXPORT_FORMAT_CSV,
    EXPORT_FORMAT_JSONL,
    EXPORT_FORMAT_ZIP,
    ExportUsageRequest,
)
from svckit.logging import get_logger

log = get_logger(__name__)

_FORMATS = {"csv": EXPORT_FORMAT_CSV, "jsonl": EXPORT_FORMAT_JSONL, "zip": EXPORT_FORMAT_ZIP}
_MEDIA = {
    "csv": "text/csv; charset=utf-8; header=present",
    "jsonl": "application/x-ndjson",
    "zip": "application/zip",
}


async def export_usage(request: web.Request) -> web.StreamResponse:
    """Write counted requests into a file, the latest first.

    Times are in UTC and in the zone. An export that fails on its way is cut off: the end of
    its body is missing, which HTTP clients report.
    """
    query = read_query(request.query.items(), ExportQuery)
    wish = ExportUsageRequest(scope=report_scope(request, query), format=_FORMATS[query.format])
    response = web.StreamResponse(
        headers={
            "Content-Type": _MEDIA[query.format],
            "Content-Disposition": f'attachment; filename="lair-usage.{query.format}"',
            "Cache-Control": "no-store",
        }
    )
    if request.method != "HEAD":
        await _send(request, wish, response)
    await response.prepare(request)  # does nothing the second time
    return response


async def _send(
    request: web.Request, wish: ExportUsageRequest, response: web.StreamResponse
) -> None:
    try:
        with export(request.app[CLIENTS], wish, request_id=request_id_of(request)) as pieces:
            async for piece in pieces:
                await response.prepare(request)
                await response.write(piece.data)
    except ConnectionError:
        raise  # the client is gone
    except Exception as error:
        if not response.prepared:
            raise
        failure = as_service_error(error, request_id_of(request))
        log.warning("export cut off", reason=failure.reason, error=failure.message)
        # Half a file must not pass for a whole one, nor end in the text of an error.
        raise ConnectionAbortedError(failure.message) from error
