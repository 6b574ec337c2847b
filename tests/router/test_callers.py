"""Whose a chat is: what is recorded of it, and what it means for the conversation."""

from __future__ import annotations

from lair.common.v1.caller_pb2 import (
    IDENTITY_SOURCE_CLIENT_HEADER,
    IDENTITY_SOURCE_DEFAULT,
    IDENTITY_SOURCE_DERIVED,
    IDENTITY_SOURCE_PROMPT,
    Caller,
)
from lair.common.v1.chat_pb2 import Message
from lair.router.v1.chat_pb2 import MEMORY_POLICY_STORE, ChatCall
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.router.world import World, answer, asking, both_ways, say, user

EARLIER = "0190163d-8694-739b-8694-739b86947390"


@both_ways
async def test_the_record_says_what_a_request_repeats_and_where_its_caller_is_from(
    world: World, router: RouterServiceStub, streamed: bool
) -> None:
    call = asking("hi", request_id="r1", retry_of=EARLIER)
    call.caller.project, call.caller.project_source = "p", IDENTITY_SOURCE_PROMPT
    await say(router, call, streamed=streamed)
    record = await world.metrics.record()
    assert record.retry_of == EARLIER
    assert record.caller.project_source == IDENTITY_SOURCE_PROMPT


async def test_who_names_no_user_is_the_default_one_and_the_record_says_so(
    world: World, router: RouterServiceStub
) -> None:
    call = asking("hi")
    call.caller.Clear()
    await answer(router, call)
    caller = (await world.metrics.record()).caller
    assert caller == Caller(user_id="local", user_source=IDENTITY_SOURCE_DEFAULT)


def of_session(session_id: str, source: int) -> ChatCall:
    call = asking(messages=[Message(role="system", text="s"), user("hi")])
    call.memory.policy = MEMORY_POLICY_STORE
    call.caller.session_id = session_id
    call.caller.session_source = source  # type: ignore[assignment]  # one of the enum's
    return call


async def test_a_pause_begins_a_new_session_but_no_new_conversation(
    world: World, router: RouterServiceStub
) -> None:
    calls = [of_session(name, IDENTITY_SOURCE_DERIVED) for name in ("before", "after")]
    calls += [of_session(name, IDENTITY_SOURCE_CLIENT_HEADER) for name in ("one", "two")]
    ids = [(await answer(router, call)).memory.conversation_id for call in calls]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
