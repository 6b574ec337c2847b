"""Turns that name the request they follow, as an import sends them."""

from lair.memory.v1.conversation_service_pb2 import ListConversationsRequest
from tests.memory.chats import Memories, assistant, user


async def test_a_turn_follows_the_request_it_names(memories: Memories) -> None:
    await memories.say("c", [user("one")], assistant("first"))
    await memories.say("c", [user("two")], assistant("second"), after_request_id="request-1")
    await memories.say("c", [user("2b")], assistant("other"), after_request_id="request-1")
    await memories.say("c", [user("three")], assistant("third"), after_request_id="request-2")
    assert await memories.texts("c") == ["one", "first", "two", "second", "three", "third"]
    everything = await memories.texts("c", include_inactive=True)
    assert sorted(everything) == sorted(
        ["one", "first", "two", "second", "2b", "other", "three", "third"]
    )


async def test_another_answer_to_the_same_question_is_a_branch(memories: Memories) -> None:
    await memories.say("c", [user("one")], assistant("first"))
    await memories.say("c", [user("two")], after_request_id="request-1")
    await memories.say("c", [user("two")], assistant("second"), after_request_id="request-1")
    assert await memories.texts("c", include_inactive=True) == ["one", "first", "two", "second"]


async def test_a_turn_after_an_unanswered_one_follows_its_question(memories: Memories) -> None:
    await memories.say("c", [user("one")])
    await memories.say("c", [user("two")], assistant("second"), after_request_id="request-1")
    assert await memories.texts("c") == ["one", "two", "second"]


async def test_a_request_of_another_conversation_continues_the_active_path(
    memories: Memories,
) -> None:
    await memories.say("other", [user("elsewhere")], assistant("there"))
    await memories.say("c", [user("one")], assistant("first"))
    await memories.say("c", [user("two")], assistant("second"), after_request_id="request-1")
    assert await memories.texts("c") == ["one", "first", "two", "second"]


async def test_a_title_is_kept_until_its_user_gives_another(memories: Memories) -> None:
    long = "Silver, " * 200
    await memories.say("c", [user("one")], conversation_title="Silver")
    await memories.say("c", [user("one"), assistant("x"), user("y")], conversation_title="Gold")
    await memories.say("d", [user("one")], conversation_title=long)
    listed = await memories.conversations.ListConversations(ListConversationsRequest(), timeout=10)
    assert {each.id: each.title for each in listed.conversations} == {
        "c": "Silver",
        "d": long[:1000],
    }
