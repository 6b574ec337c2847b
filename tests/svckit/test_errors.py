"""The table of reasons, and the way there and back over gRPC."""

from __future__ import annotations

import grpc
import pytest
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from lair.common.v1.reason_pb2 import ErrorReason
from svckit.errors import TABLE, Meaning, ServiceError, from_rpc_error, invalid_field, to_status

CODE = grpc.StatusCode
# What google.rpc.Code says each code is over HTTP, and the finer ones we choose.
HTTP_OF = {
    CODE.INVALID_ARGUMENT: {400, 413},
    CODE.NOT_FOUND: {404},
    CODE.ALREADY_EXISTS: {400, 409},
    CODE.PERMISSION_DENIED: {403},
    CODE.UNAUTHENTICATED: {401},
    CODE.RESOURCE_EXHAUSTED: {429},
    CODE.UNIMPLEMENTED: {405, 501},
    CODE.INTERNAL: {500},
    CODE.UNAVAILABLE: {502, 503},
    CODE.DEADLINE_EXCEEDED: {504},
}
each_meaning = pytest.mark.parametrize(("reason", "meaning"), TABLE.items(), ids=TABLE)


def over_the_wire(error: ServiceError) -> grpc.aio.AioRpcError:
    status = rpc_status.to_status(to_status(error))
    trailing = grpc.aio.Metadata(*status.trailing_metadata)
    return grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), trailing, status.details)


def test_the_table_has_every_reason_of_the_contract_and_no_other() -> None:
    contract = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118  # an enum wrapper is no dict
    assert set(TABLE) == contract - {"UNSPECIFIED"}


@each_meaning
def test_grpc_code_and_http_status_say_the_same(reason: str, meaning: Meaning) -> None:
    assert meaning.http in HTTP_OF[meaning.grpc]


@each_meaning
def test_only_failures_that_can_pass_are_worth_a_retry(reason: str, meaning: Meaning) -> None:
    if meaning.retry:
        assert meaning.grpc in {CODE.UNAVAILABLE, CODE.RESOURCE_EXHAUSTED}


@each_meaning
def test_a_clients_mistake_is_no_server_error(reason: str, meaning: Meaning) -> None:
    assert (meaning.type == "server_error") == (meaning.http >= 500)


@each_meaning
def test_every_reason_comes_back(reason: str, meaning: Meaning) -> None:
    sent = over_the_wire(ServiceError(reason, "what failed", field="x"))
    assert sent.code() is meaning.grpc
    back = from_rpc_error(sent, "router")
    assert (back.reason, back.message, back.metadata) == (reason, "what failed", {"field": "x"})


@given(st.text(max_size=200), st.dictionaries(st.text(max_size=20), st.text(max_size=60)))
def test_message_and_metadata_come_back(message: str, metadata: dict[str, str]) -> None:
    error = ServiceError("MODEL_NOT_FOUND", message)
    error.metadata = metadata
    back = from_rpc_error(over_the_wire(error), "router")
    assert (back.message, back.metadata) == (message, metadata)


def test_text_that_no_encoding_knows_does_not_hide_the_error() -> None:
    back = from_rpc_error(over_the_wire(ServiceError("INVALID_FIELD", "a\ud800b")), "router")
    assert (back.reason, back.message) == ("INVALID_FIELD", "a?b")


def test_a_status_fits_into_the_headers_a_client_takes() -> None:
    error = ServiceError("UPSTREAM_FAILED", "ü" * 100_000, model="m" * 9000, backends="b," * 9000)
    status = rpc_status.to_status(to_status(error))
    encoded = 3 * len(status.details.encode())  # gRPC writes %C3%BC for ü
    details = sum(len(value) * 4 / 3 for _, value in status.trailing_metadata)
    assert encoded + details < 8000


def test_an_invalid_field_names_the_field() -> None:
    error = invalid_field("messages[0].role", "role is 'robot'")
    assert error.reason == "INVALID_FIELD"
    assert error.metadata == {"field": "messages[0].role"}
    assert str(error) == "role is 'robot'"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (CODE.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
        (CODE.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        (CODE.UNIMPLEMENTED, "UNKNOWN_PATH"),
        (CODE.INVALID_ARGUMENT, "INVALID_BODY"),
        (CODE.RESOURCE_EXHAUSTED, "BODY_TOO_LARGE"),
        (CODE.UNKNOWN, "INTERNAL"),
        (CODE.DATA_LOSS, "INTERNAL"),
    ],
)
def test_a_status_of_grpc_itself_gets_a_reason_and_names_the_service(
    code: grpc.StatusCode, reason: str
) -> None:
    bare = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "socket closed")
    back = from_rpc_error(bare, "memory")
    assert back.reason == reason
    assert back.metadata == {"service": "memory"}
    assert "memory" in back.message


def test_an_unknown_reason_is_our_bug() -> None:
    with pytest.raises(KeyError):
        ServiceError("NO_SUCH_REASON", "x")
