"""What of other conversations reaches a prompt, and how a chat goes on without it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lair.common.v1.chat_pb2 import ContentPart, ContentParts, Message
from lair.memory.v1.recall_service_pb2 import Passage
from lair.router.v1.chat_pb2 import (
    MEMORY_POLICY_FULL,
    MEMORY_POLICY_OFF,
    MEMORY_POLICY_RECALL,
    MEMORY_POLICY_STORE,
    MemoryOutcome,
)
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from router_svc.model import Candidate
from router_svc.recalling import Recalling
from router_svc.remembering import Remembered
from router_svc.tokens import TokenEstimator
from svckit.recalled import marked
from tests.fakes.answers import reply
from tests.fakes.frozen_service import frozen_service
from tests.fakes.openai_server import OpenAIServer
from tests.router.test_windows import serve, texts
from tests.router.world import (
    World,
    answer,
    asking,
    assistant,
    both_ways,
    events,
    say,
    user,
)

BLOCK = marked("## Memory\n- the user said:\n  > My colour is teal.")
PATIENT = {"recall_timeout_ms": 10_000}
LEFT_OUT = "memory service down or late: recall left out"


@pytest.fixture
async def world(world: World) -> World:
    """Give a memory that has something on everything."""
    world.memory.context = BLOCK
    world.memory.passages = [Passage(text="My colour is teal.", conversation_id="old")]
    return world


@pytest.fixture
async def router(world: World, server: OpenAIServer) -> AsyncIterator[RouterServiceStub]:
    async with world.router(server, memory=PATIENT) as stub:
        yield stub


def full(*said: str, **fields: Any) -> Any:
    return asking(*said, policy=MEMORY_POLICY_FULL, **fields)


async def outcome(router: RouterServiceStub, call: Any, *, streamed: bool = False) -> MemoryOutcome:
    if streamed:
        return (await events(router, call))[0].started.memory
    return (await answer(router, call)).memory


# -- what reaches the prompt ---------------------------------------------------


@both_ways
async def test_what_is_recalled_stands_in_front_of_what_the_user_says_last(
    world: World, router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    messages = [Message(role="system", text="s"), user("one"), assistant("1"), user("two")]
    call = full(messages=messages, conversation="c", request_id="r0")
    said = await outcome(router, call, streamed=streamed)
    assert texts(server) == ["s", "one", "1", f"{BLOCK}\n\ntwo"]
    assert said == MemoryOutcome(conversation_id="c", recall_count=1)
    [request] = world.memory.recall_requests
    assert (request.user_id, request.request_id) == ("ann", "r0")
    assert request.filter.exclude_conversation_id == "c"
    assert list(request.messages) == messages[1:]


async def test_history_is_told_to_who_recalls(
    world: World, router: RouterServiceStub, server: OpenAIServer
) -> None:
    await answer(router, full("one", conversation="c"))
    said = await outcome(router, full("two", conversation="c"))
    assert texts(server) == ["one", "Hello there", f"{BLOCK}\n\ntwo"]
    assert (said.history_count, said.recall_count) == (2, 1)
    told = [message.text for message in world.memory.recall_requests[1].messages]
    assert told == ["one", "Hello there", "two"]


async def test_nothing_relevant_leaves_the_prompt_as_it_is(
    world: World, router: RouterServiceStub, server: OpenAIServer
) -> None:
    world.memory.context = ""
    assert await outcome(router, full("hi", conversation="c")) == MemoryOutcome(conversation_id="c")
    assert texts(server) == ["hi"]


async def test_a_running_tool_loop_finds_it_where_it_was(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    loop = [user("do it"), assistant("calling"), Message(role="tool", text="done")]
    for messages in (loop[:1], loop):
        await answer(router, asking(messages=messages, policy=MEMORY_POLICY_RECALL))
    assert texts(server, 0)[0] == texts(server, 1)[0] == f"{BLOCK}\n\ndo it"


async def test_what_memory_is_told_is_short_and_without_pictures(
    world: World, router: RouterServiceStub
) -> None:
    parts = [ContentPart(type="text", text="x" * 50_000), ContentPart(type="image_url")]
    messages = [user(f"turn {n}") for n in range(100)]
    messages.append(Message(role="user", parts=ContentParts(parts=parts)))
    await answer(router, full(messages=messages))
    [request] = world.memory.recall_requests
    assert len(request.messages) == 40
    assert request.ByteSize() < 10_000
    assert not any(message.HasField("parts") for message in request.messages)


async def test_who_names_no_conversation_is_not_told_its_own(
    world: World, router: RouterServiceStub
) -> None:
    said = await outcome(router, full("hi"))
    [request] = world.memory.recall_requests
    assert request.filter.exclude_conversation_id == said.conversation_id != ""


@both_ways
async def test_the_builtin_backend_looks_by_itself_for_what_was_asked(
    world: World, streamed: bool
) -> None:
    async with world.router(memory=PATIENT) as router:
        said = await say(router, full("my colour", conversation="c"), streamed=streamed)
    assert "teal" in said
    assert not world.memory.recall_requests
    assert [search.query for search in world.memory.searches] == ["my colour"]


async def test_the_builtin_backend_asks_for_no_block_that_was_put_in_front(
    world: World, server: OpenAIServer
) -> None:
    server.script(reply({"error": {"message": "no"}}, 500))
    aliases = {"both": ("a/tiny", "lair/recall")}
    async with world.router(server, memory=PATIENT, router={"aliases": aliases}) as router:
        await answer(router, full("my colour", model="both", conversation="c"))
    assert [search.query for search in world.memory.searches] == ["my colour"]


# -- no loops ------------------------------------------------------------------


@both_ways
async def test_what_is_kept_is_what_the_client_sent(
    world: World, router: RouterServiceStub, streamed: bool
) -> None:
    await say(router, full("my colour", conversation="c"), streamed=streamed)
    turn = await world.memory.turn()
    assert [message.text for message in turn.messages] == ["my colour"]
    assert b"teal" not in turn.SerializeToString()
    assert b"teal" not in world.journal("turns") + world.journal("records")


# -- policies ------------------------------------------------------------------


async def test_recall_alone_keeps_nothing(
    world: World, router: RouterServiceStub, server: OpenAIServer
) -> None:
    call = asking("hi", conversation="c", policy=MEMORY_POLICY_RECALL, request_id="r")
    assert await outcome(router, call) == MemoryOutcome(recall_count=1)
    assert texts(server) == [f"{BLOCK}\n\nhi"]
    assert not world.journal("turns")
    assert not world.memory.history_requests
    [request] = world.memory.recall_requests
    assert request.filter.exclude_conversation_id == "c"
    assert request.request_id == "", "what was recalled is not kept either"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"conversation": "c"},
        {"conversation": "c", "policy": MEMORY_POLICY_STORE},
        {"conversation": "c", "policy": MEMORY_POLICY_OFF},
        {"policy": MEMORY_POLICY_FULL, "untraced": True},
        {"policy": MEMORY_POLICY_RECALL, "untraced": True},
    ],
    ids=["nothing asked", "conversation", "store", "off", "untraced", "untraced recall"],
)
async def test_who_does_not_ask_for_it_gets_none(
    world: World, router: RouterServiceStub, server: OpenAIServer, fields: Any
) -> None:
    said = await outcome(router, asking("hi", **fields))
    assert said.recall_count == 0
    assert texts(server) == ["hi"]
    assert not world.memory.recall_requests


@pytest.mark.parametrize(
    ("memory", "told"),
    [
        ({"recall": False}, "recall is switched off (memory.recall)"),
        ({"enabled": False}, "memory is switched off (memory.enabled)"),
    ],
    ids=["recall", "memory"],
)
async def test_what_is_switched_off_is_told(
    world: World, server: OpenAIServer, memory: dict[str, bool], told: str
) -> None:
    async with world.router(server, memory=memory) as router:
        for policy in (MEMORY_POLICY_FULL, MEMORY_POLICY_RECALL):
            said = await outcome(router, asking("hi", conversation="c", policy=policy))
            assert (said.recall_count, said.degraded) == (0, told)
    assert texts(server) == ["hi"]
    assert not world.memory.recall_requests


# -- memory that is down, late or half there -----------------------------------


@both_ways
async def test_a_late_recall_is_not_waited_for(
    world: World, server: OpenAIServer, streamed: bool
) -> None:
    world.memory.recall_ready.clear()
    async with world.router(server) as router:
        await answer(router, asking("warm up"))
        begun = time.perf_counter()
        said = await outcome(router, full("hi", conversation="c"), streamed=streamed)
        assert time.perf_counter() - begun < 2
    assert said == MemoryOutcome(conversation_id="c", degraded=LEFT_OUT)
    assert texts(server) == ["hi"]
    assert world.memory.recall_requests


async def test_a_chat_goes_on_without_memory(
    world: World, router: RouterServiceStub, server: OpenAIServer
) -> None:
    world.memory.state.down = True
    said = await outcome(router, asking("hi", policy=MEMORY_POLICY_RECALL))
    assert said == MemoryOutcome(degraded=LEFT_OUT)
    said = await outcome(router, full("hi", conversation="c"))
    assert said.degraded == "memory service down or late: history and recall left out"
    assert len(world.memory.recall_requests) == 1, "it was down a moment ago"
    assert texts(server) == ["hi"]


async def test_a_frozen_memory_is_not_waited_for() -> None:
    remembered = Remembered(asking("hi"), MemoryOutcome(), recall=True)
    async with frozen_service() as memory, asyncio.timeout(10):
        recalling = Recalling(
            *(memory, TokenEstimator()), enabled=True, timeout_seconds=0.3, tokens=800
        )
        assert await recalling.recall(remembered, Candidate("a", "tiny", ())) == ""
    assert remembered.outcome.degraded == LEFT_OUT


async def test_what_was_not_searched_is_told(world: World, router: RouterServiceStub) -> None:
    world.memory.recall_degraded = "meaning: the embedding model is loading"
    said = await outcome(router, full("hi", conversation="c"))
    assert (said.recall_count, said.degraded) == (1, "meaning: the embedding model is loading")


# -- windows -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "tokens", "budget"),
    [(None, 800, 800), (100_000, 800, 800), (1000, 800, 250), (1000, 150, 150)],
)
async def test_a_quarter_of_the_window_at_most(
    world: World, server: OpenAIServer, window: int | None, tokens: int, budget: int
) -> None:
    if window:
        serve(server, window)
    async with world.router(server, memory={**PATIENT, "recall_tokens": tokens}) as router:
        await answer(router, full("hi"))
    assert world.memory.recall_requests[0].token_budget == budget


@both_ways
async def test_where_the_prompt_does_not_fit_recall_goes_first(
    world: World, server: OpenAIServer, streamed: bool
) -> None:
    serve(server, 512)
    world.memory.context = marked(f"  > {'teal ' * 60}")
    turns = [user("x" * 600), assistant("y" * 600), user("last")]
    async with world.router(server, memory=PATIENT) as router:
        said = await outcome(router, full(messages=turns), streamed=streamed)
        assert texts(server) == ["x" * 600, "y" * 600, "last"]
        assert said.recall_count == 0
        response = await answer(router, full(messages=turns))
        assert response.route.context_cut.startswith("recall left out; about ")


@both_ways
async def test_with_recall_gone_turns_go_as_without_it(
    world: World, server: OpenAIServer, streamed: bool
) -> None:
    serve(server, 512)
    turns = [m for n in range(12) for m in (user(f"{n} {'x' * 140}"), assistant("y" * 140))]
    async with world.router(server, memory=PATIENT) as router:
        await say(router, full(messages=[*turns, user("last")]), streamed=streamed)
    sent = texts(server)
    assert sent[-1] == "last"
    assert 1 < len(sent) < 25
    assert not any("teal" in text for text in sent)


async def test_what_fits_beside_recall_is_sent_with_it_and_counted(
    world: World, server: OpenAIServer
) -> None:
    serve(server, 1000)
    turns = [user("x" * 800), assistant("y" * 800), user("last")]
    async with world.router(server, memory=PATIENT) as router:
        response = await answer(router, full(messages=turns))
    assert texts(server)[-1] == f"{BLOCK}\n\nlast"
    assert (response.memory.recall_count, response.route.context_cut) == (1, "")


async def test_recall_moves_no_chat_to_another_backend(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    serve(server, 512)
    serve(other, 4096)
    world.memory.context = marked(f"  > {'teal ' * 200}")
    async with world.router(server, other, memory=PATIENT) as router:
        plain = await answer(router, asking("hi"))
        recalled = await answer(router, full("hi"))
    assert recalled.route.backend == plain.route.backend
