"""GET /openapi.json and /docs: what is served here, for programs and for people.

The page is swagger-ui out of this package: nothing is loaded from elsewhere, and its
policy would not let it be.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from svckit.errors import ServiceError

_STATIC = Path(__file__).parents[1] / "static"
_PAGE = _STATIC / "docs.html"
FILES = {
    "start.js": _STATIC / "docs.js",
    "swagger-ui.css": _STATIC / "swagger-ui" / "swagger-ui.css",
    "swagger-ui-bundle.js": _STATIC / "swagger-ui" / "swagger-ui-bundle.js",
}
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
# swagger-ui draws its icons from `data:`; its styles it sets by script, which needs no leave.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Always asked for again, and not sent again unless it changed.
_REVALIDATED = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Document:
    """The OpenAPI document as it is sent."""

    body: bytes
    etag: str

    @classmethod
    def of(cls, body: bytes) -> Document:
        """Name the document by its content."""
        return cls(body, hashlib.sha256(body).hexdigest()[:32])


DOCUMENT = web.AppKey("document", Document)


async def openapi(request: web.Request) -> web.Response:
    """Return the OpenAPI 3.1 document of all that is served."""
    document = request.app[DOCUMENT]
    known = request.if_none_match or ()
    if any(etag.value in (document.etag, "*") for etag in known):
        reply = web.Response(status=304, headers=_REVALIDATED)
    else:
        reply = web.Response(
            body=document.body, content_type="application/json", headers=_REVALIDATED
        )
    reply.etag = document.etag
    return reply


async def page(_: web.Request) -> web.FileResponse:
    """Show the OpenAPI document as a page."""
    return _file(_PAGE)


async def file(request: web.Request) -> web.FileResponse:
    """Return a file that the page is made of."""
    name = request.match_info["file"]
    if name not in FILES:
        raise ServiceError(
            "UNKNOWN_PATH", f"the page has no file {name!r}; it is at /docs", path=request.path
        )
    return _file(FILES[name])


def _file(path: Path) -> web.FileResponse:
    headers = {
        "content-type": f"{_TYPES[path.suffix]}; charset=utf-8",
        "content-security-policy": _POLICY,
    }
    return web.FileResponse(path, headers=_REVALIDATED | headers)
