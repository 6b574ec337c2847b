"""Why a call failed: one exception, one table, and the translation to gRPC and back.

    ServiceError(reason, message, **metadata)

`TABLE` maps each `ErrorReason` to its gRPC code, HTTP status, OpenAI error type
and code, and whether a client's retry can help. Services raise `ServiceError`;
the server interceptor sends it as a `google.rpc.Status` with an `ErrorInfo`;
callers get it back with `from_rpc_error`.
"""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from lair.common.v1.reason_pb2 import ErrorReason

DOMAIN = "lair"
_PREFIX = "ERROR_REASON_"
# In bytes. A status travels in headers, and a client refuses more than 8 KiB of
# them; the message stands there twice, once with three bytes for most of its own.
_LONGEST_MESSAGE, _LONGEST_VALUE = 1000, 250


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one reason means to each kind of caller.

    `retry` is the `x-should-retry` header: OpenAI SDKs repeat every 408, 409,
    429 and 5xx unless it says false.
    """

    grpc: grpc.StatusCode
    http: int
    type: str
    code: str | None
    retry: bool


_C = grpc.StatusCode
_BAD = "invalid_request_error"
TABLE: dict[str, Meaning] = {
    "INVALID_FIELD": Meaning(_C.INVALID_ARGUMENT, 400, _BAD, None, retry=False),
    "INVALID_BODY": Meaning(_C.INVALID_ARGUMENT, 400, _BAD, None, retry=False),
    "BODY_TOO_LARGE": Meaning(_C.INVALID_ARGUMENT, 413, _BAD, "request_too_large", retry=False),
    "UNKNOWN_PATH": Meaning(_C.NOT_FOUND, 404, _BAD, None, retry=False),
    "METHOD_NOT_ALLOWED": Meaning(_C.UNIMPLEMENTED, 405, _BAD, None, retry=False),
    "MODEL_NOT_FOUND": Meaning(_C.NOT_FOUND, 404, _BAD, "model_not_found", retry=False),
    "CONTEXT_LENGTH_EXCEEDED": Meaning(
        _C.INVALID_ARGUMENT, 400, _BAD, "context_length_exceeded", retry=False
    ),
    "UPSTREAM_REJECTED": Meaning(_C.INVALID_ARGUMENT, 400, _BAD, None, retry=False),
    "UPSTREAM_FAILED": Meaning(_C.UNAVAILABLE, 502, "server_error", "upstream_error", retry=True),
    "UPSTREAM_TIMEOUT": Meaning(
        _C.DEADLINE_EXCEEDED, 504, "server_error", "upstream_timeout", retry=False
    ),
    "RATE_LIMITED": Meaning(
        _C.RESOURCE_EXHAUSTED, 429, "rate_limit_error", "rate_limit_exceeded", retry=True
    ),
    "NO_BACKEND": Meaning(_C.UNAVAILABLE, 503, "server_error", "no_backend", retry=False),
    "CONVERSATION_NOT_FOUND": Meaning(
        _C.NOT_FOUND, 404, _BAD, "conversation_not_found", retry=False
    ),
    "CONVERSATION_EXISTS": Meaning(
        _C.ALREADY_EXISTS, 400, _BAD, "conversation_exists", retry=False
    ),
    "TURN_NOT_FOUND": Meaning(_C.NOT_FOUND, 404, _BAD, "not_found", retry=False),
    "MESSAGE_NOT_FOUND": Meaning(_C.NOT_FOUND, 404, _BAD, "not_found", retry=False),
    # 409 by convention of the header; SDKs would repeat it, so they are told not to.
    "IDEMPOTENCY_CONFLICT": Meaning(
        _C.ALREADY_EXISTS, 409, _BAD, "idempotency_conflict", retry=False
    ),
    "UNAUTHENTICATED": Meaning(_C.UNAUTHENTICATED, 401, _BAD, "invalid_api_key", retry=False),
    "PERMISSION_DENIED": Meaning(_C.PERMISSION_DENIED, 403, "permission_error", None, retry=False),
    "SERVICE_UNAVAILABLE": Meaning(
        _C.UNAVAILABLE, 503, "server_error", "service_unavailable", retry=True
    ),
    "DEADLINE_EXCEEDED": Meaning(
        _C.DEADLINE_EXCEEDED, 504, "server_error", "deadline_exceeded", retry=False
    ),
    "INTERNAL": Meaning(_C.INTERNAL, 500, "server_error", "internal_error", retry=False),
}

# What a status without an ErrorInfo means: it came from gRPC itself.
_BARE: dict[grpc.StatusCode, str] = {
    _C.INVALID_ARGUMENT: "INVALID_BODY",
    _C.UNAVAILABLE: "SERVICE_UNAVAILABLE",
    _C.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
    _C.UNIMPLEMENTED: "UNKNOWN_PATH",
    _C.RESOURCE_EXHAUSTED: "BODY_TOO_LARGE",
}


class ServiceError(Exception):
    """A failure the caller can act on.

    `reason` is a name of `ErrorReason` without its prefix and a key of `TABLE`;
    `metadata` holds every changing part of `message` under the names that
    reason.proto documents.
    """

    def __init__(self, reason: str, message: str, /, **metadata: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.meaning = TABLE[reason]
        self.message = message
        self.metadata = metadata


def invalid_field(field: str, message: str) -> ServiceError:
    """Name the field at fault; `message` says what is wrong and what to send."""
    return ServiceError("INVALID_FIELD", message, field=field)


def to_status(error: ServiceError) -> status_pb2.Status:
    """Describe `error` as a rich gRPC status."""
    ErrorReason.Value(_PREFIX + error.reason)  # a reason the contract does not know is our bug
    metadata = {key: _cut(value, _LONGEST_VALUE) for key, value in error.metadata.items()}
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    detail = any_pb2.Any()
    detail.Pack(info)
    message = _cut(error.message, _LONGEST_MESSAGE)
    return status_pb2.Status(code=error.meaning.grpc.value[0], message=message, details=[detail])


def from_rpc_error(error: grpc.aio.AioRpcError, service: str) -> ServiceError:
    """Turn what a call of `service` raised back into the error that caused it."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # its stub forgets grpc.aio
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.domain == DOMAIN and info.reason in TABLE:
            return ServiceError(info.reason, error.details() or "", **dict(info.metadata))
    reason = _BARE.get(error.code(), "INTERNAL")
    message = f"the {service} service failed: {error.details() or error.code().name}"
    if reason == "SERVICE_UNAVAILABLE":
        message = f"the {service} service is not reachable; see /health"
    return ServiceError(reason, message, service=service)


def _cut(text: str, limit: int) -> str:
    encoded = text.encode(errors="replace")
    cut = encoded[:limit].decode(errors="ignore")
    return cut if len(encoded) <= limit else cut + "…"
