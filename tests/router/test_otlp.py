"""A collector that speaks OTLP is told of requests, in the words of the conventions."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from lair.memory.v1.recall_service_pb2 import Passage
from lair.router.v1.chat_pb2 import MEMORY_POLICY_RECALL
from lair.router.v1.embedding_pb2 import EmbeddingCall
from lair.router.v1.input_pb2 import TextInput
from lair.router.v1.router_service_pb2 import EmbedRequest
from router_svc.backends.kinds import make_backend
from router_svc.catalog import Catalog
from router_svc.devices import Devices
from router_svc.leftovers import Leftovers
from router_svc.modes import Modes
from router_svc.otlp import names
from router_svc.otlp.peers import peer_of
from router_svc.queue import QueueLimits
from router_svc.standing import Standings
from svckit.settings import Backend
from tests.fakes.answers import DONE, chunk, completion, model_entry, reply, stream
from tests.fakes.collector import Collector, attributes, collecting, resource_of
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import World, answer, asking, events, failure

SECRET = "the colour of the sea"
REQUEST_ID = "0190163d-8694-739b-aea5-966c26f8ad91"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENDPOINT", "PROTOCOL"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)


def told(collector: Collector, name: str) -> Iterator[tuple[dict[str, Any], Any]]:
    for found, _, point in collector.points():
        if found == name:
            yield attributes(point.attributes), point


async def test_a_chat_is_a_span_with_one_for_each_try(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    server.script(reply({"error": "broken"}, 500))
    async with collecting() as collector:
        metrics = {"otlp_endpoint": collector.url}
        async with world.router(server, other, metrics=metrics) as router:
            call = asking(SECRET, request_id=REQUEST_ID, endpoint="/v1/chat/completions")
            call.caller.project = "sea"
            await events(router, call)
        whole, first, second = collector.spans()
        record = await world.metrics.record()
    assert (whole.name, first.name, second.name) == (
        "POST /v1/chat/completions",
        "chat tiny",
        "chat tiny",
    )
    assert (whole.kind, first.kind, second.kind) == (2, 3, 3)
    assert {span.trace_id for span in (whole, first, second)} == {UUID(REQUEST_ID).bytes}
    assert first.parent_span_id == second.parent_span_id == whole.span_id
    assert not whole.parent_span_id
    begin, end = whole.start_time_unix_nano, whole.end_time_unix_nano
    assert end - begin == record.duration_us * 1000
    assert begin <= first.start_time_unix_nano <= first.end_time_unix_nano
    assert first.end_time_unix_nano <= second.start_time_unix_nano + 1000
    assert second.end_time_unix_nano <= end + 1000

    about = attributes(whole.attributes)
    assert about[names.HTTP_ROUTE] == "/v1/chat/completions"
    assert (about[names.HTTP_STATUS], about[names.PROJECT]) == (200, "sea")
    assert names.ERROR_TYPE not in about
    failed, answered = attributes(first.attributes), attributes(second.attributes)
    assert (failed[names.ERROR_TYPE], first.status.code) == ("500", 2)
    assert names.USAGE_INPUT_TOKENS not in failed
    assert (failed[names.BACKEND], answered[names.BACKEND]) == ("a", "b")
    assert (answered[names.SERVER_ADDRESS], answered[names.SERVER_PORT]) == (
        "127.0.0.1",
        other.port,
    )
    assert (answered[names.USAGE_INPUT_TOKENS], answered[names.USAGE_OUTPUT_TOKENS]) == (5, 2)
    assert answered[names.RESPONSE_FINISH_REASONS] == ["stop"]
    assert answered[names.RESPONSE_TIME_TO_FIRST_CHUNK] >= 0
    assert answered[names.OPERATION_NAME] == "chat"
    assert answered[names.PROVIDER_NAME] == "openai_compatible"
    who = resource_of(collector.sent[0])
    assert who["service.name"] == "lair"


async def test_measurements_have_the_units_and_bounds_that_the_conventions_advise(
    world: World, server: OpenAIServer
) -> None:
    async with collecting() as collector:
        async with world.router(server, metrics={"otlp_endpoint": collector.url}) as router:
            await events(router, asking("hi"))
            await answer(router, asking("hi"))
        units = {
            name: (unit, tuple(point.explicit_bounds)) for name, unit, point in collector.points()
        }
        tokens = {
            about[names.TOKEN_TYPE]: point for about, point in told(collector, names.TOKEN_USAGE)
        }
        [(about, seconds)] = told(collector, names.OPERATION_DURATION)
        [(_, first)] = told(collector, names.TIME_TO_FIRST_CHUNK)
    assert units == {
        names.TOKEN_USAGE: ("{token}", names.TOKEN_BOUNDS),
        names.OPERATION_DURATION: ("s", names.DURATION_BOUNDS),
        names.TIME_TO_FIRST_CHUNK: ("s", names.FIRST_CHUNK_BOUNDS),
    }
    assert names.TOKEN_BOUNDS[-1] == 67108864
    assert names.DURATION_BOUNDS[-1] == pytest.approx(81.92)
    assert {kind: (point.count, point.sum) for kind, point in tokens.items()} == {
        "input": (2, 10),
        "output": (2, 4),
    }
    assert (seconds.count, first.count) == (2, 1)
    assert about[names.REQUEST_MODEL] == "tiny"
    assert not {key for key in about if key.startswith("lair.") or "conversation" in key}


async def test_tokens_that_are_estimated_are_not_told(world: World, server: OpenAIServer) -> None:
    server.script(completion("a", usage=None))
    async with collecting() as collector:
        async with world.router(server, metrics={"otlp_endpoint": collector.url}) as router:
            await answer(router, asking("hi"))
        assert not list(told(collector, names.TOKEN_USAGE))
        about = attributes(collector.spans()[1].attributes)
    assert about[names.USAGE_SOURCE] == "estimated"
    assert names.USAGE_INPUT_TOKENS not in about


async def test_nothing_of_what_is_said_is_told_nor_who_said_it(
    world: World, server: OpenAIServer
) -> None:
    server.script(
        completion(SECRET),
        reply({"error": {"message": f"cannot say {SECRET}"}}, 400),
        stream(chunk(SECRET), chunk(finish="stop"), DONE),
    )
    async with collecting() as collector:
        async with world.router(server, metrics={"otlp_endpoint": collector.url}) as router:
            call = asking(SECRET)
            call.caller.user_id = "somebody in particular"
            await answer(router, call)
            await failure(answer(router, call))
            await events(router, call)
        assert len(collector.spans()) == 6
        everything = b"".join(request.SerializeToString() for request in collector.sent)
    assert SECRET.encode() not in everything
    assert b"somebody" not in everything


async def test_who_leaves_no_trace_is_not_told_of(world: World, server: OpenAIServer) -> None:
    async with collecting() as collector:
        async with world.router(server, metrics={"otlp_endpoint": collector.url}) as router:
            await answer(router, asking("hi", untraced=True))
        assert not collector.spans()


async def test_the_search_of_memory_is_a_span(world: World, server: OpenAIServer) -> None:
    world.memory.context = "Earlier: tea."
    world.memory.passages = [Passage(text="tea")]
    async with collecting() as collector:
        async with world.router(server, metrics={"otlp_endpoint": collector.url}) as router:
            await answer(router, asking("hi", policy=MEMORY_POLICY_RECALL))
        names_ = [span.name for span in collector.spans()]
        about = attributes(collector.spans()[1].attributes)
    assert names_ == ["grpc", "search_memory", "chat tiny"]
    assert about == {names.OPERATION_NAME: "search_memory", names.PROVIDER_NAME: "lair"}


async def test_vectors_are_another_operation(world: World, server: OpenAIServer) -> None:
    server.models = reply({"data": [model_entry("tiny-embed")]})
    server.script(
        reply({"data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 3}})
    )
    async with collecting() as collector:
        async with world.router(server, metrics={"otlp_endpoint": collector.url}) as router:
            wanted = EmbeddingCall(inputs=[TextInput(text="x")], endpoint="/v1/embeddings")
            await router.Embed(EmbedRequest(call=wanted), timeout=10)
        assert [span.name for span in collector.spans()] == [
            "POST /v1/embeddings",
            "embeddings tiny-embed",
        ]


async def test_the_variable_of_opentelemetry_does_as_well(
    world: World, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        async with world.router(server) as router:
            await answer(router, asking("hi"))
        assert len(collector.spans()) == 2


async def test_where_nothing_is_set_the_sdk_is_not_even_loaded(
    world: World, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "router_svc.otlp.export", None)
    with capture_logs() as lines:
        async with world.router(server) as router:
            await answer(router, asking("hi"))
    assert not [line for line in lines if "collector" in str(line)]


@pytest.mark.parametrize(
    ("protocol", "words"),
    [("grpc", "pip install 'local-ai-router[otlp]'"), ("http/protobuf", "over gRPC only")],
)
async def test_what_keeps_it_from_telling_is_said_in_one_line(
    world: World, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, protocol: str, words: str
) -> None:
    monkeypatch.setitem(sys.modules, "router_svc.otlp.export", None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    with capture_logs() as lines:
        async with world.router(server) as router:
            await answer(router, asking("hi"))
    [line] = [line for line in lines if "collector" in line["event"]]
    assert words in line["event"]
    assert line["log_level"] == "warning"


async def test_a_collector_that_is_not_there_keeps_nobody_waiting(
    world: World, server: OpenAIServer, unused_tcp_port: int
) -> None:
    nowhere = {"otlp_endpoint": f"http://127.0.0.1:{unused_tcp_port}"}
    async with world.router(server, metrics=nowhere) as router:
        begin = time.monotonic()
        await answer(router, asking("hi"))
        assert time.monotonic() - begin < 2
        begin = time.monotonic()
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(
    ("url", "kind", "entry", "provider"),
    [
        ("https://api.openai.com/v1", "openai", None, "openai"),
        ("https://eu.api.deepseek.com", "openai", None, "deepseek"),
        ("https://notdeepseek.com", "openai", None, "openai_compatible"),
        ("http://127.0.0.1:11434", "ollama", None, "ollama"),
    ],
)
async def test_providers_have_the_names_of_the_conventions(
    tmp_path: Path, url: str, kind: str, entry: Any, provider: str
) -> None:
    standings = Standings(Modes(tmp_path / "m"), Devices(QueueLimits(1, 1.0)), Leftovers(1.0))
    backend = make_backend(Backend(name="x", url=url, kind=kind))
    catalog = Catalog(
        [backend], probe_seconds=60, discover_ports=(), standings=standings, aliases={}
    )
    assert peer_of(catalog, "x").provider == provider
    assert peer_of(catalog, "gone").provider == "openai_compatible"
