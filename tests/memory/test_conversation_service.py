"""ConversationService over a real gRPC server."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct

from lair.common.v1.chat_pb2 import (
    ContentPart,
    ContentParts,
    FunctionCall,
    ImageUrl,
    Message,
    ToolCall,
    Usage,
)
from lair.memory.v1 import conversation_service_pb2 as conversation
from svckit.errors import ServiceError, from_rpc_error
from svckit.pages import encode_token
from svckit.times import now_us, to_us
from tests.memory.chats import (
    DAY_US,
    NOW_US,
    Memories,
    a_turn,
    assistant,
    running,
    system,
    user,
)


async def failure(call: Any) -> ServiceError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value, "memory")


class TestCreate:
    async def test_a_conversation_is_returned_as_it_is_stored(self, memories: Memories):
        metadata = Struct()
        metadata.update({"color": "teal", "sizes": [1, 2.5, None]})
        request = conversation.CreateConversationRequest(
            id="trip",
            title="Trip",
            project="p",
            session_id="s",
            tags=["a", "b", "a"],
            metadata=metadata,
        )
        created = (await memories.conversations.CreateConversation(request)).conversation
        assert (created.user_id, created.tags) == ("local", ["a", "b"])
        assert created.metadata == metadata
        read = conversation.GetConversationRequest(conversation_id="trip")
        assert (await memories.conversations.GetConversation(read)).conversation == created

    async def test_an_empty_id_is_made_up(self, memories: Memories):
        create = memories.conversations.CreateConversation
        made = [
            (await create(conversation.CreateConversationRequest())).conversation.id
            for _ in range(2)
        ]
        assert all(made)
        assert made[0] != made[1]

    async def test_an_id_in_use_is_refused(self, memories: Memories):
        request = conversation.CreateConversationRequest(id="c")
        await memories.conversations.CreateConversation(request)
        error = await failure(memories.conversations.CreateConversation(request))
        assert (error.reason, error.metadata) == ("CONVERSATION_EXISTS", {"conversation_id": "c"})

    async def test_bad_fields_are_named(self, memories: Memories):
        endless = Struct()
        endless["n"] = float("inf")
        for field, request in {
            "id": conversation.CreateConversationRequest(id="x" * 257),
            "user_id": conversation.CreateConversationRequest(user_id="x" * 257),
            "title": conversation.CreateConversationRequest(title="x" * 1001),
            "tags": conversation.CreateConversationRequest(tags=[""]),
            "metadata": conversation.CreateConversationRequest(metadata=endless),
        }.items():
            error = await failure(memories.conversations.CreateConversation(request))
            assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", field)


class TestClients:
    """How the ways in which clients send their history end up in one path."""

    async def test_a_client_that_resends_everything_adds_only_what_is_new(self, memories: Memories):
        first, answer, second = user("I am Ann"), assistant("Hello Ann"), user("Who am I?")
        await memories.say("c", [first], answer)
        assert list((await memories.history("c", [first, answer, second])).history) == []
        await memories.say("c", [first, answer, second], assistant("Ann"))
        assert await memories.texts("c") == ["I am Ann", "Hello Ann", "Who am I?", "Ann"]
        ids = [m.id for m in await memories.messages("c", include_inactive=True)]
        assert len(ids) == 4

    async def test_a_client_that_sends_only_what_is_new_gets_its_history(self, memories: Memories):
        await memories.chat("c", "I am Ann", "Hello Ann")
        history = await memories.history("c", [user("Who am I?")])
        assert [m.text for m in history.history] == ["I am Ann", "Hello Ann"]
        assert history.insert_index == 0
        await memories.chat("c", "Who am I?", "Ann")
        assert await memories.texts("c") == ["I am Ann", "Hello Ann", "Who am I?", "Ann"]

    async def test_system_messages_are_kept_beside_the_path(self, memories: Memories):
        await memories.say("c", [system("be brief"), user("hi")], assistant("ho"))
        assert await memories.texts("c") == ["hi", "ho"]
        history = await memories.history("c", [user("more")])
        assert [m.text for m in history.history] == ["be brief", "hi", "ho"]
        history = await memories.history("c", [system("be long"), user("more")])
        assert [m.text for m in history.history] == ["hi", "ho"]
        assert history.insert_index == 1
        await memories.say("c", [system("be long"), user("more")], parent_head=history.head)
        history = await memories.history("c", [user("and?")])
        assert [m.text for m in history.history] == ["be long", "hi", "ho", "more"]

    async def test_a_regenerated_answer_begins_a_branch(self, memories: Memories):
        sent = [user("hi"), assistant("ho"), user("a joke!")]
        await memories.say("c", sent[:1], assistant("ho"))
        await memories.say("c", sent, assistant("knock knock"))
        await memories.say("c", sent, assistant("a horse walks in"))
        assert await memories.texts("c") == ["hi", "ho", "a joke!", "a horse walks in"]
        every = await memories.messages("c", include_inactive=True)
        assert [(m.message.text, m.active) for m in every][3:] == [
            ("knock knock", False),
            ("a horse walks in", True),
        ]
        assert every[3].parent_id == every[4].parent_id == every[2].id

    async def test_a_retried_request_is_not_stored_twice(self, memories: Memories):
        await memories.chat("c", "hi", "ho")
        failed = await memories.history("c", [user("more")])
        await memories.say("c", [user("more")], parent_head=failed.head)
        assert await memories.texts("c") == ["hi", "ho", "more"]
        retry = await memories.history("c", [user("more")])
        assert retry == failed
        await memories.say("c", [user("more")], assistant("fine"), parent_head=retry.head)
        assert await memories.texts("c") == ["hi", "ho", "more", "fine"]

    async def test_an_unknown_head_means_the_active_leaf(self, memories: Memories):
        await memories.chat("c", "hi", "ho")
        for n, head in enumerate(["00" * 16, "no hex"]):
            await memories.say("c", [user(f"more {n}")], parent_head=head)
        assert await memories.texts("c") == ["hi", "ho", "more 0", "more 1"]

    async def test_every_field_of_a_message_survives(self, memories: Memories):
        picture = ImageUrl(url="data:image/png;base64,AA==", detail="low")
        asked = Message(
            role="user",
            name="Ann",
            parts=ContentParts(
                parts=[
                    ContentPart(type="text", text="what is this?"),
                    ContentPart(type="image_url", image_url=picture, extra_json=b'{"x":1}'),
                ]
            ),
            extra_json=b'{"cache":true}',
        )
        function = FunctionCall(name="look", arguments='{"at":')
        called = Message(
            role="assistant",
            tool_calls=[ToolCall(id="t1", type="function", function=function)],
            reasoning="look closer",
        )
        told = Message(role="tool", text="a cat", tool_call_id="t1")
        await memories.say("c", [asked, called, told], Message(text="a cat", refusal=""))
        kept = [m.message for m in await memories.messages("c")]
        assert kept == [asked, called, told, Message(role="assistant", text="a cat", refusal="")]


class TestAppendTurns:
    async def test_a_turn_sent_twice_is_stored_once(self, memories: Memories):
        turn = a_turn("r1", "c", [user("hi")], reply=assistant("ho"), usage=Usage(total_tokens=9))
        first = await memories.append(turn)
        assert (first.stored_count, first.duplicate_count) == (1, 0)
        second = await memories.append(turn, turn)
        assert (second.stored_count, second.duplicate_count) == (0, 2)
        read = conversation.GetConversationRequest(conversation_id="c")
        stored = (await memories.conversations.GetConversation(read)).conversation
        assert (stored.message_count, stored.token_count) == (2, 9)

    async def test_a_refused_turn_stops_no_other(self, memories: Memories):
        response = await memories.append(
            a_turn("r1", "", [user("hi")]),
            a_turn("r2", "c", [user("hi")]),
            a_turn("r3", "c", []),
        )
        assert response.stored_count == 1
        assert [refusal.request_id for refusal in response.refusals] == ["r1", "r3"]
        assert "conversation_id" in response.refusals[0].message
        assert await memories.texts("c") == ["hi"]

    async def test_too_many_turns_are_refused(self, memories: Memories):
        error = await failure(memories.append(*(a_turn(f"r{n}", "c", []) for n in range(501))))
        assert error.metadata == {"field": "turns"}

    async def test_the_first_line_of_the_user_is_the_title_until_it_is_set(
        self, memories: Memories
    ):
        await memories.say("c", [system("s"), user("\n# Plan my trip\nplease")])
        await memories.say("c", [user("Something else")])
        read = conversation.GetConversationRequest(conversation_id="c")
        stored = (await memories.conversations.GetConversation(read)).conversation
        assert stored.title == "Plan my trip"
        create = conversation.CreateConversationRequest(id="d", title="Mine")
        await memories.conversations.CreateConversation(create)
        await memories.say("d", [user("hi")], project="p", session_id="s")
        read = conversation.GetConversationRequest(conversation_id="d")
        stored = (await memories.conversations.GetConversation(read)).conversation
        assert (stored.title, stored.project, stored.session_id) == ("Mine", "p", "s")

    async def test_a_message_has_the_time_of_its_request_but_never_a_later_one(
        self, memories: Memories
    ):
        await memories.say("c", [user("then")], at_us=NOW_US)
        await memories.say("c", [user("then"), user("tomorrow")], at_us=now_us() + DAY_US)
        then, tomorrow = await memories.messages("c")
        assert to_us(then.create_time) == NOW_US
        assert to_us(tomorrow.create_time) <= now_us()


class TestLists:
    async def test_messages_come_in_pages(self, memories: Memories):
        sent = [user(f"text {n}") for n in range(5)]
        await memories.say("c", sent)
        for include_inactive in (False, True):
            request = conversation.ListMessagesRequest(
                conversation_id="c", page_size=2, include_inactive=include_inactive
            )
            texts = []
            while True:
                page = await memories.conversations.ListMessages(request)
                texts.append([m.message.text for m in page.messages])
                if not page.next_page_token:
                    break
                request.page_token = page.next_page_token
            assert texts == [["text 0", "text 1"], ["text 2", "text 3"], ["text 4"]]

    async def test_conversations_come_in_pages_latest_first(self, memories: Memories):
        for n in range(5):
            await memories.say(f"c{n}", [user("hi")], at_us=NOW_US + n)
        await memories.say("b", [user("hi")], user_id="bob", at_us=NOW_US + 9)
        request = conversation.ListConversationsRequest(page_size=2)
        ids = []
        while True:
            page = await memories.conversations.ListConversations(request)
            assert page.total_count == 5
            ids += [c.id for c in page.conversations]
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        assert ids == ["c4", "c3", "c2", "c1", "c0"]
        every = conversation.ListConversationsRequest(all_users=True, page_size=1)
        page = await memories.conversations.ListConversations(every)
        assert ([c.id for c in page.conversations], page.total_count) == (["b"], 6)

    @pytest.mark.parametrize("token", ["?", encode_token("x", "y"), encode_token(2**70, 1)])
    async def test_a_foreign_token_is_refused(self, memories: Memories, token: str):
        request = conversation.ListConversationsRequest(page_token=token)
        error = await failure(memories.conversations.ListConversations(request))
        assert error.metadata == {"field": "page_token"}

    async def test_a_negative_page_size_is_refused(self, memories: Memories):
        request = conversation.ListConversationsRequest(page_size=-1)
        error = await failure(memories.conversations.ListConversations(request))
        assert error.metadata == {"field": "page_size"}


class TestOwners:
    async def test_another_users_conversation_is_not_found(self, memories: Memories):
        await memories.say("c", [user("mine")])
        of_bob = {"user_id": "bob", "conversation_id": "c"}
        calls = {
            "GetConversation": conversation.GetConversationRequest(**of_bob),
            "ListMessages": conversation.ListMessagesRequest(**of_bob),
            "UpdateConversation": conversation.UpdateConversationRequest(**of_bob, title="x"),
            "DeleteConversation": conversation.DeleteConversationRequest(**of_bob),
        }
        for name, request in calls.items():
            error = await failure(getattr(memories.conversations, name)(request))
            assert error.reason == "CONVERSATION_NOT_FOUND", name
            assert error.metadata == {"conversation_id": "c"}
        assert await memories.history("c", [user("?")], "bob") == conversation.GetHistoryResponse()
        assert await memories.texts("c") == ["mine"]

    async def test_the_owner_of_the_machine_finds_everyones(self, memories: Memories):
        await memories.say("c", [user("hi")], user_id="bob")
        request = conversation.GetConversationRequest(conversation_id="c", all_users=True)
        found = (await memories.conversations.GetConversation(request)).conversation
        assert found.user_id == "bob"

    async def test_the_default_user_is_configured(self, tmp_path: Path):
        async with running(tmp_path, default_user="home") as memories:
            await memories.say("c", [user("hi")])
            assert await memories.texts("c", user_id="home") == ["hi"]

    async def test_a_conversation_must_be_named(self, memories: Memories):
        calls = {
            "GetHistory": conversation.GetHistoryRequest(),
            "GetConversation": conversation.GetConversationRequest(),
            "ListMessages": conversation.ListMessagesRequest(),
            "UpdateConversation": conversation.UpdateConversationRequest(),
            "DeleteConversation": conversation.DeleteConversationRequest(),
        }
        for name, request in calls.items():
            error = await failure(getattr(memories.conversations, name)(request))
            assert error.metadata == {"field": "conversation_id"}, name


class TestChanges:
    async def test_an_update_changes_what_it_names(self, memories: Memories):
        await memories.say("c", [user("Plan my trip")])
        update = conversation.UpdateConversationRequest(
            conversation_id="c", tags=conversation.Tags(tags=["fun"])
        )
        changed = (await memories.conversations.UpdateConversation(update)).conversation
        assert (changed.title, changed.tags) == ("Plan my trip", ["fun"])
        update = conversation.UpdateConversationRequest(conversation_id="c", title="Greeting")
        changed = (await memories.conversations.UpdateConversation(update)).conversation
        assert (changed.title, changed.tags) == ("Greeting", ["fun"])

    async def test_nothing_of_a_deleted_conversation_is_found(self, memories: Memories):
        await memories.say("c", [user("my dog is Rex"), assistant("nice"), user("yes")])
        await memories.say("c", [user("my dog is Max")])
        request = conversation.DeleteConversationRequest(conversation_id="c")
        deleted = await memories.conversations.DeleteConversation(request)
        assert deleted.deleted_message_count == 4
        assert await memories.found("dog") == []
        assert list((await memories.history("c", [user("?")])).history) == []
        read = conversation.GetConversationRequest(conversation_id="c", all_users=True)
        assert (await failure(memories.conversations.GetConversation(read))).reason == (
            "CONVERSATION_NOT_FOUND"
        )
        listed = conversation.ListConversationsRequest(all_users=True)
        assert (await memories.conversations.ListConversations(listed)).total_count == 0
        assert (await memories.status()).pending_count == 0

    async def test_a_conversation_deleted_while_an_answer_streams_stays_deleted(
        self, memories: Memories
    ):
        await memories.say("c", [user("hi")], assistant("ho"))
        asked_us = now_us()
        request = conversation.DeleteConversationRequest(conversation_id="c")
        await memories.conversations.DeleteConversation(request)
        late = a_turn("late", "c", [user("more")], reply=assistant("told late"), at_us=asked_us)
        response = await memories.append(late)
        assert (response.stored_count, response.deleted_count) == (0, 1)
        assert not response.refusals
        read = conversation.GetConversationRequest(conversation_id="c")
        error = await failure(memories.conversations.GetConversation(read))
        assert error.reason == "CONVERSATION_NOT_FOUND"
        response = await memories.append(a_turn("new", "c", [user("again")], at_us=now_us()))
        assert (response.stored_count, response.deleted_count) == (1, 0)
        assert await memories.texts("c") == ["again"]
