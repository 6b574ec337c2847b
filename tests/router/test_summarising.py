"""Turns that no longer fit are summarised by the configured model, as a request of its own."""

from __future__ import annotations

from typing import Any

import pytest

from lair.common.v1.chat_pb2 import Message
from lair.metrics.v1.usage_pb2 import ORIGIN_CLIENT, ORIGIN_INTERNAL
from lair.router.v1 import router_service_pb2 as pb
from lair.router.v1.chat_pb2 import MEMORY_POLICY_OFF, MEMORY_POLICY_RECALL, Route
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from router_svc.summary import MARK
from tests.fakes.answers import Answer, completion, greeting, reply, streamed
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import World, answer, asking, assistant, both_ways, route_of, user

WRITER = {"summary_model": "writer"}
# Room for two turns and a summary.
BACKEND = {"context": 2048, "max_concurrent": 1}
SUMMARY = "They counted."


def turns(count: int) -> list[Message]:
    """Return a conversation of turns of about 300 tokens, and a last question."""
    said = [Message(role="system", text="Be brief.")]
    for number in range(count):
        said += [user(f"{number} {'x' * 550}"), assistant(f"{number} {'y' * 550}")]
    return [*said, user("last")]


def answers(body: dict[str, Any]) -> Answer:
    """Answer as the model that is asked does."""
    return completion(SUMMARY, usage=(700, 9)) if body["model"] == "writer" else greeting(body)


@pytest.fixture
async def server() -> Any:
    """Give a backend that serves both the model that answers and the one that summarises."""
    async with OpenAIServer("tiny", "writer") as running:
        running.script(answers)
        yield running


async def answered(router: RouterServiceStub, messages: list[Message], *, streamed: bool) -> Route:
    return await route_of(router, asking(messages=messages, model="tiny"), streamed=streamed)


def asked(server: OpenAIServer, model: str) -> list[dict[str, Any]]:
    """Return the bodies that reached a model."""
    return [got.body for got in server.received if got.body["model"] == model]


@both_ways
async def test_a_summary_stands_in_place_of_the_turns_that_no_longer_fit(
    world: World, server: OpenAIServer, streamed: bool
) -> None:
    async with world.router(server, backend=BACKEND, router=WRITER) as router:
        route = await answered(router, turns(8), streamed=streamed)
    [sent] = asked(server, "tiny")
    texts = [message["content"] for message in sent["messages"]]
    assert texts[0] == f"Be brief.\n\n{MARK}{SUMMARY}"
    assert [message["role"] for message in sent["messages"]].count("system") == 1
    assert texts[-1] == "last"
    assert " oldest turns summarised; about " in route.context_cut
    [summarised] = asked(server, "writer")
    assert "user: 0 xxx" in summarised["messages"][1]["content"]
    assert "user: 7 xxx" not in summarised["messages"][1]["content"]


async def test_a_summary_serves_the_next_turns_too(world: World, server: OpenAIServer) -> None:
    async with world.router(server, backend=BACKEND, router=WRITER) as router:
        for count in (8, 9):
            await answered(router, turns(count), streamed=False)
    assert len(asked(server, "writer")) == 1
    assert len(asked(server, "tiny")) == 2


async def test_a_summary_is_counted_apart_and_never_remembered(
    world: World, server: OpenAIServer
) -> None:
    async with world.router(server, backend=BACKEND, router=WRITER) as router:
        call = asking(messages=turns(8), model="tiny", conversation="c")
        call.caller.client = "curl"
        await answer(router, call)
        summary, chat = await world.metrics.record(0), await world.metrics.record(1)
    assert [turn.messages[-1].text for turn in world.memory.turns.values()] == ["last"]
    assert (chat.origin, chat.caller.client, chat.model) == (ORIGIN_CLIENT, "curl", "tiny")
    assert (chat.usage.prompt_tokens, chat.queue_us < 10**6) == (5, True)
    assert summary.request_id != chat.request_id
    assert (summary.origin, summary.endpoint) == (ORIGIN_INTERNAL, "summary")
    assert (summary.caller.user_id, summary.caller.client) == ("ann", "lair/summary")
    assert (summary.model, summary.usage.prompt_tokens) == ("writer", 700)
    assert summary.conversation_id == ""


async def test_a_chat_that_fits_asks_for_no_summary(world: World, server: OpenAIServer) -> None:
    async with world.router(server, backend=BACKEND, router=WRITER) as router:
        route = await answered(router, turns(2), streamed=False)
    assert not asked(server, "writer")
    assert not route.context_cut


@pytest.mark.parametrize(
    "broken",
    [reply({}, 500), completion(""), completion("much " * 9000)],
    ids=["refused", "silent", "too long"],
)
async def test_without_a_summary_the_turns_are_left_out(
    world: World, server: OpenAIServer, broken: Answer
) -> None:
    server.script(lambda body: broken if body["model"] == "writer" else greeting(body))
    async with world.router(server, backend=BACKEND, router=WRITER) as router:
        route = await answered(router, turns(8), streamed=False)
    assert " oldest turns left out; " in route.context_cut
    [sent] = asked(server, "tiny")
    assert MARK not in str(sent)


async def test_a_summary_model_that_nobody_serves_costs_a_chat_nothing(
    world: World, server: OpenAIServer
) -> None:
    unknown = {"summary_model": "nobody"}
    async with world.router(server, backend=BACKEND, router=unknown) as router:
        route = await answered(router, turns(8), streamed=False)
    assert " oldest turns left out; " in route.context_cut


@pytest.mark.parametrize(
    "wish",
    [
        {"untraced": True},
        {"policy": MEMORY_POLICY_OFF},
        {"policy": MEMORY_POLICY_RECALL},
    ],
    ids=["untraced", "off", "recall"],
)
async def test_who_wants_nothing_kept_gets_no_summary(
    world: World, server: OpenAIServer, wish: dict[str, Any]
) -> None:
    call = asking(messages=turns(8), model="tiny", **wish)
    async with world.router(server, backend=BACKEND, router=WRITER) as router:
        response = await answer(router, call)
    assert not asked(server, "writer")
    assert " oldest turns left out; " in response.route.context_cut


async def test_no_log_quotes_a_conversation_that_a_summary_was_refused_for(
    world: World, server: OpenAIServer, capsys: pytest.CaptureFixture[str]
) -> None:
    def quotes(body: dict[str, Any]) -> Answer:
        return reply({"error": {"message": f"bad prompt: {body['messages']}"}}, 400)

    server.script(lambda body: (quotes if body["model"] == "writer" else greeting)(body))
    async with world.router(server, backend=BACKEND, router=WRITER) as router:
        await answered(router, turns(8), streamed=False)
    written = "".join(capsys.readouterr())
    assert "turns are left out without a summary" in written
    assert "xxx" not in written


async def test_a_backend_in_gaming_mode_is_not_woken_for_a_summary(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    gpu = {"name": "gpu", "url": server.url, **BACKEND}
    away = {"name": "away", "url": other.url, "context": 2048, "local": False}
    async with world.router(backends=[gpu, away], router=WRITER) as router:
        await router.SetBackendMode(
            pb.SetBackendModeRequest(backend="gpu", mode=pb.BACKEND_MODE_EXPLICIT_ONLY)
        )
        route = (await answer(router, asking(messages=turns(8)))).route
    assert (route.backend, server.received) == ("away", [])
    assert " oldest turns left out; " in route.context_cut


async def test_what_must_stay_in_the_house_is_summarised_in_the_house(
    world: World, server: OpenAIServer
) -> None:
    async with OpenAIServer("writer") as remote:
        remote.script(answers)
        away = {"name": "away", "url": remote.url, "local": False, "priority": 9}
        here = {"name": "here", "url": server.url, **BACKEND}
        async with world.router(backends=[away, here], router=WRITER) as router:
            call = asking(messages=turns(8), model="tiny")
            call.route.local_only = True
            response = await answer(router, call)
        assert not remote.received
    assert " oldest turns summarised; " in response.route.context_cut
    assert len(asked(server, "writer")) == 1


async def test_the_next_candidate_gets_a_prompt_that_is_simply_cut(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    def fails(body: dict[str, Any]) -> Answer:
        return answers(body) if body["model"] == "writer" else reply({}, 500)

    server.script(fails)
    other.script(streamed("Hello"), greeting)
    async with world.router(server, other, backend=BACKEND, router=WRITER) as router:
        route = await answered(router, turns(8), streamed=True)
    assert route.backend == "b"
    assert " oldest turns left out; " in route.context_cut


@both_ways
async def test_a_prompt_with_a_summary_that_is_found_too_long_is_cut_without_one(
    world: World, server: OpenAIServer, streamed: bool
) -> None:
    came: list[int] = []

    def refuses_summaries(body: dict[str, Any]) -> Answer:
        if body["model"] == "writer":
            return completion("counted " * 240)
        came.append(len(body["messages"]))
        if MARK in body["messages"][0]["content"]:
            return reply({"error": {"code": "context_length_exceeded", "message": "x"}}, 400)
        return greeting(body)

    server.script(refuses_summaries)
    said = [message for message in turns(40) if message.role != "system"]
    short = [Message(role=message.role, text=message.text[:60]) for message in said]
    async with world.router(server, backend=BACKEND, router=WRITER) as router:
        messages = [Message(role="system", text="Be brief."), *short]
        route = await answered(router, messages, streamed=streamed)
    assert came[0] < came[1]
    assert " oldest turns left out; " in route.context_cut
