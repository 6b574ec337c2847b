"""What every server offers besides its services: health, reflection, errors, drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from lair.router.v1 import router_service_pb2, router_service_pb2_grpc
from lair.router.v1.router_service_pb2 import ChatStreamRequest, ChatStreamResponse
from svckit.channels import connect
from svckit.grpc_server import ServeError, Servicers, serving

ROUTER = "lair.router.v1.RouterService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Streaming(router_service_pb2_grpc.RouterServiceServicer):
    """Streams one answer, waits for `go_on`, and streams another."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self.ended = asyncio.Event()

    async def ChatStream(self, _: ChatStreamRequest, __: Any) -> AsyncIterator[ChatStreamResponse]:
        try:
            yield ChatStreamResponse()
            self.began.set()
            await self.go_on.wait()
            yield ChatStreamResponse()
        finally:
            self.ended.set()


def router(servicer: Streaming) -> Servicers:
    return Servicers(
        "router",
        (router_service_pb2.DESCRIPTOR.services_by_name["RouterService"],),
        (partial(router_service_pb2_grpc.add_RouterServiceServicer_to_server, servicer),),
    )


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    async with (
        serving(router(Streaming()), "127.0.0.1:0") as port,
        connect(f"127.0.0.1:{port}") as channel,
    ):
        yield channel


@pytest.mark.parametrize("service", ["", ROUTER])
async def test_health_is_told_for_the_server_and_each_service(
    channel: grpc.aio.Channel, service: str
) -> None:
    request = health_pb2.HealthCheckRequest(service=service)
    answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)
    assert answer.status == SERVING


async def test_health_of_an_unknown_service_is_not_found(channel: grpc.aio.Channel) -> None:
    request = health_pb2.HealthCheckRequest(service="lair.router.v1.Nothing")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_who_watches_health_is_told_when_the_server_drains() -> None:
    server = serving(router(Streaming()), "127.0.0.1:0")
    port = await server.__aenter__()
    async with connect(f"127.0.0.1:{port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service=ROUTER), timeout=10
        )
        assert (await watch.read()).status == SERVING
        stopping = asyncio.ensure_future(server.__aexit__(None, None, None))
        assert (await watch.read()).status == NOT_SERVING
        watch.cancel()
        await stopping


async def test_reflection_v1alpha_describes_every_service() -> None:
    async with serving(router(Streaming()), "127.0.0.1:0") as port:
        services, methods = await asyncio.to_thread(described, port)
    assert {ROUTER, "grpc.health.v1.Health"} <= set(services)
    assert {"Chat", "ChatStream", "ExplainRoute"} <= methods


def described(port: int) -> tuple[list[str], set[str]]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        file = database.FindFileContainingSymbol(ROUTER)
        return list(database.get_services()), {m.name for m in file.service[0].method}


async def test_reflection_v1_answers(channel: grpc.aio.Channel) -> None:
    ask = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    call = ask(timeout=5)
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    listed = await call.read()
    assert ROUTER in {service.name for service in listed.list_services_response.service}
    await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=ROUTER))
    described = await call.read()
    assert described.file_descriptor_response.file_descriptor_proto
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_a_service_that_is_not_served_is_unimplemented(channel: grpc.aio.Channel) -> None:
    call = channel.unary_unary("/lair.nothing.v1.NothingService/Do")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_port_in_use_is_told_in_one_line_that_says_what_to_change() -> None:
    async with serving(router(Streaming()), "127.0.0.1:0") as port:
        with pytest.raises(ServeError) as caught:
            async with serving(router(Streaming()), f"127.0.0.1:{port}"):
                pytest.fail("two servers share a port")
    message = str(caught.value)
    assert "\n" not in message
    assert f"127.0.0.1:{port}" in message
    assert "router.listen" in message


async def test_the_port_is_free_again_after_serving() -> None:
    async with serving(router(Streaming()), "127.0.0.1:0") as port:
        pass
    async with serving(router(Streaming()), f"127.0.0.1:{port}") as again:
        assert again == port


async def test_a_running_stream_finishes_while_the_server_drains() -> None:
    servicer = Streaming()
    server = serving(router(servicer), "127.0.0.1:0", grace_seconds=10)
    port = await server.__aenter__()
    async with connect(f"127.0.0.1:{port}") as channel:
        call = router_service_pb2_grpc.RouterServiceStub(channel).ChatStream(
            ChatStreamRequest(), timeout=10
        )
        await call.read()
        await servicer.began.wait()
        stopping = asyncio.ensure_future(server.__aexit__(None, None, None))
        servicer.go_on.set()
        assert await call.read() == ChatStreamResponse()
        assert await call.read() is grpc.aio.EOF
        async with asyncio.timeout(5):
            await stopping


async def test_a_stream_that_outlasts_the_grace_is_ended() -> None:
    servicer = Streaming()
    server = serving(router(servicer), "127.0.0.1:0", grace_seconds=0.1)
    port = await server.__aenter__()
    async with connect(f"127.0.0.1:{port}") as channel:
        call = router_service_pb2_grpc.RouterServiceStub(channel).ChatStream(
            ChatStreamRequest(), timeout=10
        )
        await call.read()
        await servicer.began.wait()
        async with asyncio.timeout(5):
            await server.__aexit__(None, None, None)
            await servicer.ended.wait()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_channel_finds_a_server_that_was_restarted() -> None:
    async with serving(router(Streaming()), "127.0.0.1:0") as port:
        channel = connect(f"127.0.0.1:{port}")
        health = health_pb2_grpc.HealthStub(channel)
        await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    async with serving(router(Streaming()), f"127.0.0.1:{port}"), channel:
        answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=5, wait_for_ready=True)
        assert answer.status == SERVING
