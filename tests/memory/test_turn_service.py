"""The turns, messages and counts of ConversationService over a real gRPC server."""

from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from lair.common.v1.chat_pb2 import Usage
from lair.memory.v1 import conversation_pb2
from lair.memory.v1 import conversation_service_pb2 as conversation
from svckit.errors import ServiceError, from_rpc_error
from svckit.pages import encode_token
from svckit.times import to_us
from tests.memory.chats import NOW_US, Memories, a_time, a_turn, assistant, system, user

LARGE = b'{"x":"' + b"x" * 256 * 1024 + b'"}'


async def failure(call: Any) -> ServiceError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value, "memory")


async def get(
    memories: Memories, request_id: str, user_id: str = ""
) -> conversation_pb2.StoredTurn:
    request = conversation.GetTurnRequest(user_id=user_id, request_id=request_id)
    return (await memories.conversations.GetTurn(request, timeout=10)).turn


async def pages(memories: Memories, **request: Any) -> list[list[str]]:
    """Return the ids of all pages of a list."""
    asked = conversation.ListTurnsRequest(**request)
    ids = []
    while True:
        page = await memories.conversations.ListTurns(asked, timeout=10)
        ids.append([turn.request_id for turn in page.turns])
        if not page.next_page_token:
            return ids
        asked.page_token = page.next_page_token


async def history_after(
    memories: Memories, request_id: str, *messages: Any, conversation_id: str = "c"
) -> conversation.GetHistoryResponse:
    request = conversation.GetHistoryRequest(
        conversation_id=conversation_id, messages=messages, after_request_id=request_id
    )
    return await memories.conversations.GetHistory(request, timeout=10)


class TestTurns:
    async def test_a_stored_turn_is_returned_whole(self, memories: Memories):
        sent = a_turn(
            "r1",
            "c",
            [system("s"), user("hi")],
            reply=assistant("ho"),
            model="q",
            backend="b",
            usage=Usage(total_tokens=3),
            finish_reason="stop",
            endpoint="/v1/responses",
            other_replies=[assistant("he")],
            record_json=b'{"metadata": {"k": "v"}}',
            at_us=NOW_US,
        )
        await memories.append(sent)
        turn = await get(memories, "r1")
        assert [stored.message for stored in turn.input] == list(sent.messages)
        assert [stored.position for stored in turn.input] == [0, 0]
        assert turn.reply.message == sent.reply
        assert (turn.reply.model, turn.reply.backend, turn.reply.finish_reason) == (
            "q",
            "b",
            "stop",
        )
        assert turn.reply.usage == sent.usage
        assert list(turn.other_replies) == list(sent.other_replies)
        assert (turn.request_id, turn.conversation_id) == ("r1", "c")
        assert (turn.endpoint, turn.record_json) == (sent.endpoint, sent.record_json)
        assert to_us(turn.create_time) == NOW_US

    async def test_a_turn_without_an_answer_has_none(self, memories: Memories):
        await memories.append(a_turn("r1", "c", [user("hi")]))
        assert not (await get(memories, "r1")).HasField("reply")

    async def test_a_record_that_cannot_be_kept_refuses_the_turn(self, memories: Memories):
        response = await memories.append(
            a_turn("r1", "c", [user("hi")], record_json=LARGE),
            a_turn("r2", "c", [user("hi")], record_json=b"[]"),
            a_turn("r3", "c", [user("hi")], record_json=b"{}"),
        )
        assert response.stored_count == 1
        assert [refusal.request_id for refusal in response.refusals] == ["r1", "r2"]
        assert all("record_json" in refusal.message for refusal in response.refusals)

    async def test_turns_come_in_pages(self, memories: Memories):
        for n in range(5):
            await memories.append(a_turn(f"r{n}", "c", [user("hi")], at_us=NOW_US + n))
        assert await pages(memories, page_size=2) == [["r0", "r1"], ["r2", "r3"], ["r4"]]
        assert await pages(memories, page_size=3, newest_first=True) == [
            *(["r4", "r3", "r2"], ["r1", "r0"])
        ]
        assert await pages(memories, page_size=2, after_request_id="r1") == [["r2", "r3"], ["r4"]]
        behind = await pages(memories, after_request_id="r1", newest_first=True)
        assert behind == [["r0"]]
        error = await failure(pages(memories, after_request_id="none"))
        assert error.reason == "TURN_NOT_FOUND"

    async def test_turns_are_found_by_what_is_kept_with_them(self, memories: Memories):
        await memories.append(
            a_turn("r1", "c", [user("hi")], endpoint="/v1/a", model="q"),
            a_turn("r2", "c", [user("hi")], record_json=b'{"metadata": {"k": "v"}}'),
        )
        assert await pages(memories, endpoint="/v1/a", model="q") == [["r1"]]
        assert await pages(memories, recorded_only=True, metadata={"k": "v"}) == [["r2"]]
        update = conversation.UpdateTurnRequest(
            request_id="r2", record_json=b'{"metadata": {"k": "w"}}'
        )
        changed = (await memories.conversations.UpdateTurn(update, timeout=10)).turn
        assert changed.record_json == update.record_json
        assert changed == await get(memories, "r2")
        assert await pages(memories, metadata={"k": "v"}) == [[]]
        assert await pages(memories, metadata={"k": "w"}) == [["r2"]]

    async def test_a_deleted_turn_stays_deleted(self, memories: Memories):
        sent = a_turn("r1", "c", [user("hi")], reply=assistant("ho"))
        await memories.append(sent)
        request = conversation.DeleteTurnRequest(request_id="r1")
        response = await memories.conversations.DeleteTurn(request, timeout=10)
        assert response.deleted_message_count == 2
        assert (await memories.append(sent)).deleted_count == 1
        read = conversation.GetConversationRequest(conversation_id="c")
        error = await failure(memories.conversations.GetConversation(read))
        assert error.reason == "CONVERSATION_NOT_FOUND"

    async def test_a_turn_goes_with_its_conversation(self, memories: Memories):
        await memories.append(a_turn("r1", "c", [user("hi")], record_json=b"{}"))
        request = conversation.DeleteConversationRequest(conversation_id="c")
        await memories.conversations.DeleteConversation(request)
        assert (await failure(get(memories, "r1"))).reason == "TURN_NOT_FOUND"

    async def test_bad_fields_are_named(self, memories: Memories):
        calls = memories.conversations
        for field, call in {
            "request_id": calls.GetTurn(conversation.GetTurnRequest()),
            "user_id": calls.ListTurns(conversation.ListTurnsRequest(user_id="x" * 257)),
            "page_size": calls.ListTurns(conversation.ListTurnsRequest(page_size=-1)),
            "page_token": calls.ListTurns(
                conversation.ListTurnsRequest(page_token=encode_token("x", 1))
            ),
            "record_json": calls.UpdateTurn(
                conversation.UpdateTurnRequest(request_id="r1", record_json=LARGE)
            ),
            "message_id": calls.DeleteMessage(conversation.DeleteMessageRequest()),
            "conversation_id": calls.DeleteMessage(conversation.DeleteMessageRequest(message_id=1)),
            "end_time": calls.ListConversations(
                conversation.ListConversationsRequest(start_time=a_time(2), end_time=Timestamp())
            ),
        }.items():
            error = await failure(call)
            assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", field)
        update = conversation.UpdateTurnRequest(request_id="r1")
        assert (await failure(calls.UpdateTurn(update))).metadata == {"field": "record_json"}


class TestContinuing:
    async def test_the_next_turn_branches_there(self, memories: Memories):
        await memories.chat("c", "one", "first")  # request-1
        await memories.chat("c", "two", "second")
        past = await history_after(memories, "request-1", user("other"))
        assert [message.text for message in past.history] == ["one", "first"]
        await memories.say("c", [user("other")], assistant("third"), parent_head=past.head)
        assert await memories.texts("c") == ["one", "first", "other", "third"]
        past = await history_after(memories, "request-2")
        assert [m.text for m in past.history] == ["one", "first", "two", "second"]

    async def test_it_is_returned_whatever_the_new_messages_are(self, memories: Memories):
        await memories.say("c", [system("old"), user("hi")], assistant("ho"))
        answer = await history_after(memories, "request-1", assistant("said"), user("more"))
        assert [m.text for m in answer.history] == ["old", "hi", "ho"]
        instructed = await history_after(memories, "request-1", system("new"), user("hi"))
        assert [m.text for m in instructed.history] == ["hi", "ho"]
        assert (instructed.insert_index, instructed.head) == (1, answer.head)
        same = await history_after(memories, "request-1", user("hi"))
        assert [m.text for m in same.history] == ["old", "hi", "ho"]

    async def test_an_unknown_turn_is_not_found(self, memories: Memories):
        await memories.say("c", [user("hi")], assistant("ho"))
        for request_id, conversation_id in [("none", "c"), ("request-1", "d")]:
            error = await failure(
                history_after(memories, request_id, conversation_id=conversation_id)
            )
            assert error.reason == "TURN_NOT_FOUND"
            assert error.metadata == {"request_id": request_id}


class TestMessages:
    async def test_a_deleted_message_is_gone_and_the_rest_is_sent_again_for_nothing(
        self, memories: Memories
    ):
        await memories.say("c", [user("dog one"), assistant("dog two"), user("dog three")])
        [_, second, _] = await memories.messages("c")
        request = conversation.DeleteMessageRequest(conversation_id="c", message_id=second.id)
        left = (await memories.conversations.DeleteMessage(request, timeout=10)).conversation
        assert (left.id, left.message_count) == ("c", 2)
        assert sorted(await memories.found("dog")) == ["dog one", "dog three"]
        await memories.say("c", [user("dog one"), user("dog three")])
        assert await memories.texts("c", include_inactive=True) == ["dog one", "dog three"]
        error = await failure(memories.conversations.DeleteMessage(request, timeout=10))
        assert (error.reason, error.metadata) == (
            *("MESSAGE_NOT_FOUND", {"message_id": str(second.id)}),
        )

    async def test_a_message_is_deleted_in_its_own_conversation_only(self, memories: Memories):
        await memories.say("c", [user("hi")])
        await memories.say("d", [user("ho")])
        [message] = await memories.messages("c")
        request = conversation.DeleteMessageRequest(conversation_id="d", message_id=message.id)
        error = await failure(memories.conversations.DeleteMessage(request, timeout=10))
        assert error.reason == "MESSAGE_NOT_FOUND"
        assert await memories.texts("c") == ["hi"]


class TestCounts:
    async def test_what_is_kept_is_counted(self, memories: Memories):
        get_stats = memories.conversations.GetStats
        empty = await get_stats(conversation.GetStatsRequest(), timeout=10)
        assert empty == conversation.GetStatsResponse()
        usage = Usage(total_tokens=9)
        await memories.say("c", [user("hi")], assistant("hello"), usage=usage, at_us=NOW_US)
        await memories.say("c", [user("hi")], user_id="bob", at_us=NOW_US + 1)
        mine = await get_stats(conversation.GetStatsRequest(), timeout=10)
        assert mine == conversation.GetStatsResponse(
            conversation_count=1,
            message_count=2,
            user_message_count=1,
            assistant_message_count=1,
            token_count=9,
            text_bytes=7,
            first_time=a_time(NOW_US),
            last_time=a_time(NOW_US),
            user_count=1,
        )
        every = await get_stats(conversation.GetStatsRequest(all_users=True), timeout=10)
        assert (every.conversation_count, every.user_count) == (2, 2)
        assert to_us(every.last_time) == NOW_US + 1

    async def test_conversations_are_found_by_their_titles_tags_and_times(self, memories: Memories):
        for n, title in enumerate(["Ärger im Büro", "Trip"]):
            await memories.say(f"c{n}", [user(title)], at_us=NOW_US + n)
        tags = conversation.Tags(tags=["fun"])
        update = conversation.UpdateConversationRequest(conversation_id="c1", tags=tags)
        await memories.conversations.UpdateConversation(update)
        for where, ids in [
            ({"title_query": "ÄRGER"}, ["c0"]),
            ({"tags": ["fun", "x"]}, ["c1"]),
            ({"end_time": a_time(NOW_US + 1)}, ["c0"]),
            ({"start_time": a_time(NOW_US + 1)}, ["c1"]),
        ]:
            request = conversation.ListConversationsRequest(**where)
            page = await memories.conversations.ListConversations(request, timeout=10)
            assert [each.id for each in page.conversations] == ids, where
            assert page.total_count == len(ids)


class TestOwners:
    async def test_the_owner_of_the_machine_finds_everybodys_and_whose_they_are(
        self, memories: Memories
    ):
        await memories.append(a_turn("r1", "c", [user("mine")], reply=assistant("yours")))
        calls = memories.conversations
        request = conversation.GetTurnRequest(request_id="r1", all_users=True)
        found = (await calls.GetTurn(request, timeout=10)).turn
        assert (found.user_id, found.reply.message.text) == ("local", "yours")
        listed = await calls.ListTurns(conversation.ListTurnsRequest(all_users=True), timeout=10)
        assert [turn.request_id for turn in listed.turns] == ["r1"]

    async def test_another_user_finds_counts_changes_and_deletes_nothing(self, memories: Memories):
        await memories.append(
            a_turn("r1", "c", [user("mine")], reply=assistant("yours"), record_json=b"{}")
        )
        [mine, _] = await memories.messages("c")
        before = await get(memories, "r1")
        calls, bob = memories.conversations, {"user_id": "bob"}
        refused = {
            "TURN_NOT_FOUND": [
                calls.GetTurn(conversation.GetTurnRequest(request_id="r1", **bob)),
                calls.UpdateTurn(
                    conversation.UpdateTurnRequest(request_id="r1", record_json=b"{}", **bob)
                ),
                calls.DeleteTurn(conversation.DeleteTurnRequest(request_id="r1", **bob)),
                calls.ListTurns(conversation.ListTurnsRequest(after_request_id="r1", **bob)),
                calls.GetHistory(
                    conversation.GetHistoryRequest(
                        conversation_id="c", after_request_id="r1", **bob
                    )
                ),
            ],
            "CONVERSATION_NOT_FOUND": [
                calls.DeleteMessage(
                    conversation.DeleteMessageRequest(
                        conversation_id="c", message_id=mine.id, **bob
                    )
                )
            ],
        }
        for reason, requests in refused.items():
            for request in requests:
                assert (await failure(request)).reason == reason
        await memories.say("c", [user("his")], user_id="bob")  # one of the same name
        request = conversation.DeleteMessageRequest(conversation_id="c", message_id=mine.id, **bob)
        assert (await failure(calls.DeleteMessage(request))).reason == "MESSAGE_NOT_FOUND"
        assert await pages(memories, **bob) == [["request-1"]]
        stats = await calls.GetStats(conversation.GetStatsRequest(**bob))
        assert (stats.conversation_count, stats.message_count) == (1, 1)
        assert await get(memories, "r1") == before
        assert await memories.texts("c") == ["mine", "yours"]
