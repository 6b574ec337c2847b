"""A failure as the OpenAI API words it: body and headers."""

from __future__ import annotations

import msgspec

from svckit.errors import ServiceError

# The parameter at fault, where the reason alone tells it.
_PARAM = {"MODEL_NOT_FOUND": "model", "CONTEXT_LENGTH_EXCEEDED": "messages"}


def error_json(error: ServiceError) -> bytes:
    """Return the body: `error` with its four keys, all required by the API."""
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


def error_headers(error: ServiceError) -> dict[str, str]:
    """Return what tells a client whether and when to try again."""
    headers = {"x-should-retry": "true" if error.meaning.retry else "false"}
    if error.metadata.get("retry_after_seconds"):
        headers["retry-after"] = error.metadata["retry_after_seconds"]
    if error.metadata.get("allowed"):
        headers["allow"] = error.metadata["allowed"]
    return headers
