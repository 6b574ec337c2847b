"""Which browser pages may call the gateway (CORS).

Pages of this machine and of desktop programs may, by the list Ollama has tested for
years, and those whose origins the owner allows. The origin `null` may not: any page can
take it on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from gateway.headers import RESPONSE_HEADERS

_ALLOWED_ORIGIN = re.compile(
    r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::\d+)?"
    r"|(?:app|file|tauri|vscode-webview|vscode-file)://.*",
    re.IGNORECASE,
)
_METHODS = "GET, POST, PATCH, DELETE, OPTIONS"
_MAX_AGE_SECONDS = "86400"


def is_foreign(headers: Mapping[str, str], allowed: Collection[str]) -> bool:
    """Tell whether a page that may not call the gateway sent a request."""
    origin = headers.get("Origin")
    return origin is not None and not _may_call(origin, allowed)


def reply_headers(headers: Mapping[str, str], allowed: Collection[str]) -> dict[str, str]:
    """Return what lets the page that sent `headers` read the reply."""
    origin = headers.get("Origin")
    if origin is None:
        return {}
    if not _may_call(origin, allowed):
        return {"vary": "Origin"}
    return {
        "vary": "Origin",
        "access-control-allow-origin": origin,
        "access-control-expose-headers": ", ".join(RESPONSE_HEADERS),
    }


def preflight_headers(headers: Mapping[str, str], allowed: Collection[str]) -> dict[str, str]:
    """Return the answer to a page that asks what it may send."""
    origin = headers.get("Origin")
    if origin is None or not _may_call(origin, allowed):
        return {}
    return {
        "access-control-allow-methods": _METHODS,
        "access-control-allow-headers": headers.get("Access-Control-Request-Headers", "*"),
        "access-control-max-age": _MAX_AGE_SECONDS,
    }


def _may_call(origin: str, allowed: Collection[str]) -> bool:
    named = (each.lower().rstrip("/") for each in allowed)
    return bool(_ALLOWED_ORIGIN.fullmatch(origin)) or origin.lower() in named
