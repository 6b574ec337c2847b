"""A conversation that outgrows its window: moved, counted, cut, told about, or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from lair.common.v1.chat_pb2 import Message
from lair.router.v1.chat_pb2 import ChatCall
from lair.router.v1.router_service_pb2 import ExplainRouteRequest, RouteCandidate
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.fakes.answers import (
    Answer,
    chunk,
    completion,
    event,
    greeting,
    model_entry,
    reply,
    stream,
)
from tests.fakes.openai_server import Document, OpenAIServer
from tests.router.talks import talk
from tests.router.texts import complete, completing
from tests.router.world import (
    World,
    answer,
    asking,
    assistant,
    both_ways,
    events,
    failure,
    route_of,
    user,
)

SMALL = {"context": 512}
TOO_LONG = reply({"error": {"code": "context_length_exceeded", "message": "x"}}, 400)
# About 80 tokens a turn, by bytes.
TURNS = [
    message
    for number in range(12)
    for message in (user(f"{number} {'x' * 140}"), assistant(f"{number} {'y' * 140}"))
]
LONG = [Message(role="system", text="Be brief."), *TURNS, user("last")]


def texts(server: OpenAIServer, number: int = -1) -> list[str]:
    """Return what the messages say that reached a server."""
    return [message["content"] for message in server.received[number].body["messages"]]


def serve(server: OpenAIServer, window: int, count: Document | None = None) -> None:
    """List a model with a window; with `count` the server is a vLLM that answers it so."""
    owner = {"owned_by": "vllm"} if count else {}
    entry = {**model_entry("tiny"), "max_model_len": window, **owner}
    server.models = reply({"object": "list", "data": [entry]})
    if count:
        server.documents["/tokenize"] = count


async def explained(router: RouterServiceStub, call: ChatCall) -> list[RouteCandidate]:
    """Return the candidates of a call that is not run."""
    return list((await router.ExplainRoute(ExplainRouteRequest(call=call))).candidates)


# -- cutting -------------------------------------------------------------------


@both_ways
async def test_the_oldest_turns_go_and_the_reply_says_so(
    world: World, server: OpenAIServer, streamed: bool
) -> None:
    async with world.router(server, backend=SMALL) as router:
        route = await route_of(router, asking(messages=LONG), streamed=streamed)
    sent = texts(server)
    assert sent[0] == "Be brief."
    assert sent[1:] == [message.text for message in LONG[-len(sent) + 1 :]]
    assert sent[1].startswith("8 x")
    assert route.context_cut.startswith("8 oldest turns left out; about 1035 tokens to ")


@both_ways
async def test_what_fits_goes_as_it_is_and_nothing_is_said(
    world: World, server: OpenAIServer, streamed: bool
) -> None:
    async with world.router(server, backend=SMALL) as router:
        route = await route_of(router, asking("hi"), streamed=streamed)
    assert texts(server) == ["hi"]
    assert not route.context_cut


async def test_a_call_and_its_result_are_never_parted(world: World, server: OpenAIServer) -> None:
    loops = [
        line
        for number in range(12)
        for line in (
            *(f"user: {number} {'x' * 200}", f"calls: {number}", f"tool: {number}"),
            "assistant: done",
        )
    ]
    messages = talk("system: s", *loops, "user: go on", "calls: now", "tool: now")
    async with world.router(server, backend=SMALL) as router:
        response = await answer(router, asking(messages=messages))
    sent = server.received[0].body["messages"]
    calls = [call["id"] for message in sent for call in message.get("tool_calls", ())]
    results = [message["tool_call_id"] for message in sent if message["role"] == "tool"]
    assert calls == results
    assert 1 < len(calls) < 13
    assert calls[-1] == "now"
    assert response.route.context_cut


@both_ways
async def test_history_counts_and_is_cut_first(
    world: World, server: OpenAIServer, streamed: bool
) -> None:
    async with world.router(server, backend=SMALL) as router:
        for number in range(8):
            text = f"{number} {'x' * 300}"
            route = await route_of(router, asking(text, conversation="c"), streamed=streamed)
    assert "oldest turns left out" in route.context_cut
    assert texts(server)[-1].startswith("7 x")
    assert not any(text.startswith("0 x") for text in texts(server))
    assert len((await world.memory.turn(7)).messages) == 1


@both_ways
async def test_the_callers_cap_holds_where_no_window_is_known(
    world: World, server: OpenAIServer, streamed: bool
) -> None:
    call = asking(messages=LONG)
    call.route.max_context_tokens = 200
    async with world.router(server) as router:
        route = await route_of(router, call, streamed=streamed)
    assert texts(server)[0] == "Be brief."
    assert len(texts(server)) == 6
    assert route.context_cut.startswith("10 oldest turns left out")


@pytest.mark.parametrize(
    ("limit", "kept"),
    [({"max_tokens": 20}, 5), ({"max_completion_tokens": 200}, 3), ({"max_tokens": 9999}, 2)],
    ids=["short", "long", "more than there is"],
)
async def test_room_is_left_for_the_reply_that_the_client_allows(
    world: World, server: OpenAIServer, limit: dict[str, int], kept: int
) -> None:
    async with world.router(server, backend=SMALL) as router:
        await answer(router, asking(messages=LONG, **limit))
    assert (len(texts(server)) - 2) // 2 == kept


async def test_the_reply_gives_way_to_what_must_stay(world: World, server: OpenAIServer) -> None:
    messages = [*TURNS, user("z" * 1600)]
    async with world.router(server, backend=SMALL) as router:
        response = await answer(router, asking(messages=messages))
    assert texts(server) == ["z" * 1600]
    assert response.route.context_cut.startswith("12 oldest turns left out")


# -- moving --------------------------------------------------------------------


@both_ways
async def test_a_conversation_moves_once_to_the_window_that_takes_it_whole(
    world: World, server: OpenAIServer, other: OpenAIServer, streamed: bool
) -> None:
    serve(server, 512)
    serve(other, 8192)
    async with world.router(server, other) as router:
        said: list[Message] = []
        routes = []
        for number in range(0, len(TURNS), 2):
            said += TURNS[number : number + 1]
            routes.append(await route_of(router, asking(messages=said), streamed=streamed))
            said += TURNS[number + 1 : number + 2]
    backends = [route.backend for route in routes]
    assert backends == sorted(backends)
    assert {*backends} == {"a", "b"}
    assert not any(route.context_cut for route in routes)


@both_ways
async def test_the_next_candidate_gets_what_fits_it(
    world: World, server: OpenAIServer, other: OpenAIServer, streamed: bool
) -> None:
    serve(server, 8192)
    serve(other, 512)
    server.script(reply({}, 500))
    async with world.router(server, other) as router:
        route = await route_of(router, asking(messages=LONG), streamed=streamed)
    assert len(texts(server)) == len(LONG)
    assert len(texts(other)) < len(LONG)
    assert (route.backend, route.fallback_count) == ("b", 1)
    assert "left out" in route.context_cut


@both_ways
async def test_a_backend_that_finds_it_too_long_is_left_for_the_next(
    world: World, server: OpenAIServer, other: OpenAIServer, streamed: bool
) -> None:
    server.script(TOO_LONG)
    async with world.router(server, other) as router:
        route = await route_of(router, asking(messages=LONG), streamed=streamed)
    assert (route.backend, route.context_cut) == ("b", "")


def strict(most: int, count: list[int]) -> Callable[[dict[str, Any]], Answer]:
    """Refuse more than `most` messages as too long, and note how many came."""

    def judge(body: dict[str, Any]) -> Answer:
        count.append(len(body["messages"]))
        return greeting(body) if count[-1] <= most else TOO_LONG

    return judge


@both_ways
async def test_a_prompt_that_a_backend_finds_too_long_is_cut_once_more(
    world: World, server: OpenAIServer, streamed: bool
) -> None:
    came: list[int] = []
    server.script(strict(8, came))
    async with world.router(server, backend=SMALL) as router:
        route = await route_of(router, asking(messages=LONG), streamed=streamed)
        assert came == [10, 6]
        assert (route.backend, route.fallback_count) == ("a", 0)
        assert route.context_cut.startswith("10 oldest turns left out")
        server.script(strict(2, came))
        error = await failure(route_of(router, asking(messages=LONG), streamed=streamed))
    assert (error.reason, error.message) == ("CONTEXT_LENGTH_EXCEEDED", "a: x")
    assert len(came) == 4


async def test_an_answer_that_has_begun_is_not_begun_again(
    world: World, server: OpenAIServer
) -> None:
    full = event({"error": {"code": 400, "message": "exceed_context_size"}})
    server.script(stream(chunk("Hel"), full))
    async with world.router(server, backend=SMALL) as router:
        error = await failure(events(router, asking(messages=LONG)))
    assert error.reason == "CONTEXT_LENGTH_EXCEEDED"
    assert len(server.received) == 1


# -- refusing ------------------------------------------------------------------


@both_ways
async def test_what_cannot_be_cut_to_fit_is_refused_with_the_numbers(
    world: World, server: OpenAIServer, streamed: bool
) -> None:
    call = asking(messages=[*TURNS, user("z" * 9000)])
    async with world.router(server, backend=SMALL) as router:
        error = await failure(route_of(router, call, streamed=streamed))
    assert error.reason == "CONTEXT_LENGTH_EXCEEDED"
    assert "context of 512 tokens, about 2377 needed" in error.message
    assert not server.received


async def test_a_text_to_complete_is_refused_and_never_cut(
    world: World, server: OpenAIServer
) -> None:
    async with world.router(server, backend=SMALL) as router:
        error = await failure(complete(router, completing("short", "z" * 9000)))
        assert error.reason == "CONTEXT_LENGTH_EXCEEDED"
        assert "about 2369 needed" in error.message
        error = await failure(complete(router, completing([1] * 900)))
        assert "about 900 needed" in error.message
        capped = completing("z" * 900)
        capped.route.max_context_tokens = 100
        error = await failure(complete(router, capped))
        assert "100 tokens (X-Max-Context), about 237 needed" in error.message
    assert not server.received


# -- counting ------------------------------------------------------------------


def counts(tokens: int) -> Answer:
    """Answer as vLLM counts."""
    return reply({"count": tokens, "max_model_len": 0, "tokens": []})


# By estimate it takes 413 tokens, its last turn 5.
NEAR = [*TURNS[:10], user("z")]


@both_ways
@pytest.mark.parametrize(("tokens", "kept"), [(380, 11), (800, 5)], ids=["fewer", "more"])
async def test_near_the_window_the_servers_count_decides(
    world: World, server: OpenAIServer, tokens: int, kept: int, streamed: bool
) -> None:
    serve(server, 512, counts(tokens))
    async with world.router(server) as router:
        route = await route_of(router, asking(messages=NEAR), streamed=streamed)
    assert len(texts(server)) == kept
    assert bool(route.context_cut) == (kept < len(NEAR))
    assert server.asked.count("/tokenize") == 1


async def test_far_from_the_window_nothing_is_counted(world: World, server: OpenAIServer) -> None:
    serve(server, 8192, counts(1))
    async with world.router(server) as router:
        await answer(router, asking(messages=NEAR))
    assert "/tokenize" not in server.asked


@both_ways
async def test_what_a_server_counts_as_too_much_goes_to_the_next_and_is_refused_in_the_end(
    world: World, server: OpenAIServer, other: OpenAIServer, streamed: bool
) -> None:
    serve(server, 512, counts(700))
    serve(other, 500)
    call = asking(messages=[user("z" * 1600)])
    async with world.router(server, other) as router:
        route = await route_of(router, call, streamed=streamed)
        assert (route.backend, route.fallback_count) == ("b", 1)
        call.route.backend = "a"
        error = await failure(route_of(router, call, streamed=streamed))
    assert error.reason == "CONTEXT_LENGTH_EXCEEDED"
    assert "take 700 tokens, and the prompt may have 512" in error.message
    assert not server.received
    record = await world.metrics.record(1)
    assert [attempt.error for attempt in record.attempts] == ["CONTEXT_LENGTH_EXCEEDED"]


async def test_where_nobody_counts_a_near_miss_is_left_to_the_backend(
    world: World, server: OpenAIServer
) -> None:
    async with world.router(server, backend=SMALL) as router:
        response = await answer(router, asking(messages=[user("z" * 2000)]))
    assert texts(server) == ["z" * 2000]
    assert not response.route.context_cut


# -- learning and telling ------------------------------------------------------


def estimated(candidates: Sequence[RouteCandidate]) -> int:
    """Return the tokens of the prompt that the first candidate's reasons tell."""
    [told] = [reason for reason in candidates[0].reasons if reason.startswith("prompt of about")]
    assert told.endswith("tokens, context of 512")
    return int(told.split()[3])


@pytest.mark.parametrize("messages", [NEAR, LONG], ids=["whole", "cut"])
async def test_the_tokens_that_a_backend_reports_correct_the_estimate(
    world: World, server: OpenAIServer, messages: list[Message]
) -> None:
    server.script(completion("Hello", usage=(600, 2)))
    async with world.router(server, backend=SMALL) as router:
        before = estimated(await explained(router, asking(messages=messages)))
        await answer(router, asking(messages=messages))
        after = estimated(await explained(router, asking(messages=messages)))
    assert before < after < 2 * before


async def test_explaining_tells_window_and_need_of_each_candidate(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    serve(server, 512)
    async with world.router(server, other) as router:
        without, cut = await explained(router, asking(messages=LONG))
    assert (without.backend, cut.backend) == ("b", "a")
    assert not any("context of" in reason for reason in without.reasons)
    assert list(cut.reasons[-2:]) == [
        *("the prompt must be cut to fit", "prompt of about 1035 tokens, context of 512")
    ]
