"""A failure in the words of the API that was asked: OpenAI's or Anthropic's. Body and headers."""

from __future__ import annotations

import re

import msgspec

from svckit.errors import ServiceError

# The paths of Anthropic's API; every other one is answered as OpenAI's.
_ANTHROPIC_PATH = re.compile(r"(?:/p/[^/]+)?(?:/v1)?/messages(?:/|$)")
# The parameter at fault, where the reason alone tells it.
_PARAM = {"MODEL_NOT_FOUND": "model", "CONTEXT_LENGTH_EXCEEDED": "messages"}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
# Tells a client that a key would get it more.
CHALLENGE = 'Bearer realm="lair"'
# Agents know by these words that it is time to shorten their history.
_TOO_LONG = "prompt is too long"


def error_body(error: ServiceError, path: str, request_id: str) -> bytes:
    """Return the body of a reply to a request for `path`."""
    return anthropic_error_json(error, request_id) if is_anthropic(path) else error_json(error)


def is_anthropic(path: str) -> bool:
    """Tell whether `path` is one of Anthropic's API."""
    return _ANTHROPIC_PATH.match(path) is not None


def error_json(error: ServiceError) -> bytes:
    """Return OpenAI's body: `error` with its four keys, all required by the API."""
    return msgspec.json.encode(
        {
            "error": {
                "message": error.message,
                "type": error.meaning.type,
                "param": error.metadata.get("field") or _PARAM.get(error.reason),
                "code": error.meaning.code,
            }
        }
    )


def anthropic_error_json(error: ServiceError, request_id: str) -> bytes:
    """Return Anthropic's body, which is the data of a stream's `error` event as well."""
    message = error.message
    if error.reason == "CONTEXT_LENGTH_EXCEEDED" and _TOO_LONG not in message.lower():
        message = f"{_TOO_LONG}: {message}"
    fault = {"type": anthropic_type(error.meaning.http), "message": message}
    return msgspec.json.encode({"type": "error", "error": fault, "request_id": request_id})


def anthropic_type(status: int) -> str:
    """Return Anthropic's type of the errors of an HTTP status."""
    return _ANTHROPIC_TYPES.get(status, "api_error")


def error_headers(error: ServiceError) -> dict[str, str]:
    """Return what tells a client whether and when to try again."""
    headers = {"x-should-retry": "true" if error.meaning.retry else "false"}
    if error.reason == "UNAUTHENTICATED":
        headers["www-authenticate"] = CHALLENGE
    if error.metadata.get("retry_after_seconds"):
        headers["retry-after"] = error.metadata["retry_after_seconds"]
    if error.metadata.get("allowed"):
        headers["allow"] = error.metadata["allowed"]
    return headers
