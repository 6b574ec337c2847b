"""What every MemoryStore does with turns that are to be found again."""

from dataclasses import replace

import pytest

from lair.common.v1.chat_pb2 import FunctionCall, Message, ToolCall
from memory_svc.model import (
    ConversationChange,
    Fate,
    NewConversation,
    StoredTurn,
    TurnFilter,
    Usage,
)
from memory_svc.storage.base import MemoryStore
from tests.memory.chats import NOW_US, assistant, system, user
from tests.memory.stores import turn

LATER_US = NOW_US + 1


async def found(store: MemoryStore, request_id: str) -> StoredTurn:
    stored = await store.turn("ann", request_id)
    assert stored is not None
    return stored


async def texts(store: MemoryStore, request_id: str) -> list[str]:
    return [each.message.text for each in (await found(store, request_id)).input]


async def active(store: MemoryStore, conversation_id: str = "c") -> list[str]:
    path = await store.active_path("ann", conversation_id)
    return [node.message.text for node in path.nodes] if path else []


async def path_after(store: MemoryStore, request_id: str) -> list[str]:
    path = await store.path_after("ann", "c", request_id)
    assert path is not None
    return [each.text for each in path.system] + [node.message.text for node in path.nodes]


async def listed(store: MemoryStore, **where: object) -> list[str]:
    turns, more = await store.turns(TurnFilter(**{"user_id": "ann", **where}), None, 100)
    assert not more
    return [each.request_id for each in turns]


async def message_id(store: MemoryStore, text: str) -> int:
    conversation = await store.conversation("ann", "c")
    assert conversation is not None
    messages = await store.messages(conversation.key, -1, 100, include_inactive=True)
    return next(each.id for each in messages if each.message.text == text)


async def delete_message(store: MemoryStore, text: str) -> None:
    conversation = await store.conversation("ann", "c")
    assert conversation is not None
    assert await store.delete_message(conversation.key, await message_id(store, text), LATER_US)


class TestFinding:
    async def test_a_turn_is_what_its_client_sent_and_got(self, store: MemoryStore):
        usage = Usage(prompt_tokens=3)
        sent = (system("be brief"), system("be kind"), user("hi"), assistant("ho"), user("more"))
        asked = turn(
            "r1",
            messages=sent,
            reply=assistant("fine"),
            endpoint="/v1/responses",
            model="q",
            backend="b",
            usage=usage,
            finish_reason="stop",
            other_replies=(assistant("good"), assistant("")),
            record=b'{"a": 1}',
        )
        await store.append([asked])
        stored = await found(store, "r1")
        assert tuple(each.message for each in stored.input) == sent
        assert (stored.conversation_id, stored.endpoint, stored.created_us) == (
            *("c", "/v1/responses"),
            NOW_US,
        )
        assert stored.other_replies == (assistant("good"), assistant(""))
        assert stored.record == b'{"a": 1}'
        reply = stored.reply
        assert reply is not None
        assert reply.message == assistant("fine")
        assert (reply.model, reply.backend, reply.usage) == ("q", "b", usage)
        assert (reply.finish_reason, reply.request_id, reply.position) == ("stop", "r1", 3)
        assert reply.parent_id == stored.input[-1].id

    async def test_who_sends_only_what_is_new_finds_only_that(self, store: MemoryStore):
        await store.append([turn("r1", "hi", reply=assistant("ho"))])
        await store.append([turn("r2", "more", parent_head="active", reply=assistant("fine"))])
        assert await texts(store, "r2") == ["more"]
        await store.append([turn("r3", "hi", "ho", "more", "fine", "bye")])
        assert await texts(store, "r3") == ["hi", "ho", "more", "fine", "bye"]
        assert (await found(store, "r3")).reply is None

    async def test_every_message_has_a_number_of_its_own_that_stays(self, store: MemoryStore):
        for n in range(3):
            sent = (system("be brief"), user(f"hi {n}"))
            await store.append([turn(f"r{n}", messages=sent, reply=assistant("ho"))])
        turns = [await found(store, f"r{n}") for n in range(3)]
        assert len({each.input[0].id for each in turns}) == 1
        ids = {each.id for one in turns for each in (*one.input, one.reply) if each}
        assert len(ids) == 7
        await store.append([turn("r9", messages=(system("be long"),), conversation_id="d")])
        late = await found(store, "r9")
        assert late.input[0].id not in ids
        assert [await found(store, f"r{n}") for n in range(3)] == turns

    async def test_two_answers_that_count_as_the_same_are_found_as_each_was(
        self, store: MemoryStore
    ):
        def calling(name: str) -> Message:
            function = FunctionCall(name="f", arguments="{}")
            return Message(role="assistant", tool_calls=[ToolCall(id=name, function=function)])

        for n in ("1", "2"):
            usage = Usage(total_tokens=int(n))
            await store.append([turn(f"r{n}", "hi", reply=calling(n), model=n, usage=usage)])
        replies = [(await found(store, f"r{n}")).reply for n in ("1", "2")]
        assert [each and each.message for each in replies] == [calling("1"), calling("2")]
        assert [each and each.model for each in replies] == ["1", "2"]
        path = await store.path_after("ann", "c", "r2")
        assert path is not None
        assert path.nodes[-1].message == calling("2")

    async def test_items_without_an_answer_follow_the_active_path(self, store: MemoryStore):
        await store.append([turn("r1", "hi", reply=assistant("ho"))])
        items = (user("one"), assistant("two"), user("three"))
        await store.append([turn("r2", messages=items, parent_head="active")])
        assert await active(store) == ["hi", "ho", "one", "two", "three"]
        assert await texts(store, "r2") == ["one", "two", "three"]

    async def test_a_record_is_replaced_and_nothing_else(self, store: MemoryStore):
        await store.append([turn("r1", "hi", reply=assistant("ho"))])
        before = await found(store, "r1")
        assert await store.update_turn("ann", "r1", b'{"metadata":{"k":"v"}}')
        after = await found(store, "r1")
        assert after == replace(before, record=b'{"metadata":{"k":"v"}}')
        assert await listed(store, metadata={"k": "v"}) == ["r1"]
        assert not await store.update_turn("ann", "r2", b"{}")
        assert await store.append([turn("r1", "hi", record=b"{}")]) == [Fate.DUPLICATE]
        assert await found(store, "r1") == after


class TestLists:
    async def test_turns_are_listed_by_when_they_came_in(self, store: MemoryStore):
        for n, at_us in enumerate([5, 3, 4, 3]):
            await store.append([turn(f"r{n}", "hi", at_us=at_us)])
        assert await listed(store) == ["r1", "r3", "r2", "r0"]
        assert await listed(store, newest_first=True) == ["r0", "r2", "r3", "r1"]

    @pytest.mark.parametrize("newest_first", [False, True])
    async def test_pages_go_on_behind_the_last_one(self, store: MemoryStore, newest_first: bool):
        for n in range(5):
            await store.append([turn(f"r{n}", "hi", at_us=n // 2)])
        where = TurnFilter("ann", newest_first=newest_first)
        first, more = await store.turns(where, None, 2)
        assert more
        place = first[-1].created_us, first[-1].key
        rest, more = await store.turns(where, place, 3)
        assert not more
        names = [each.request_id for each in (*first, *rest)]
        assert names == sorted((f"r{n}" for n in range(5)), reverse=newest_first)

    async def test_a_page_holds_no_more_than_travels_at_once(self, store: MemoryStore):
        large = "x" * 9 * 1024 * 1024
        for n in range(3):
            await store.append([turn(f"r{n}", f"{n}{large}")])
        shown, more = await store.turns(TurnFilter("ann"), None, 100)
        assert ([each.request_id for each in shown], more) == (["r0"], True)

    async def test_lists_are_narrowed(self, store: MemoryStore):
        quoted = '{"metadata": {"say \\"hi\\"": "ä\\u0000\\n", "n": 1}, "other": {"k": "v"}}'
        await store.append(
            [
                turn("r1", "hi", endpoint="/v1/responses", model="q"),
                turn("r2", "hi", record=b'{"metadata": {"k": "v", "l": "w"}}', model="q"),
                turn("r3", "hi", record=quoted.encode()),
                turn("r4", "hi", record=b'{"metadata": ["k", "v"]}'),
            ]
        )
        for where, expected in [
            ({"endpoint": "/v1/responses"}, ["r1"]),
            ({"model": "q"}, ["r1", "r2"]),
            ({"recorded_only": True}, ["r2", "r3", "r4"]),
            ({"metadata": {"k": "v"}}, ["r2"]),
            ({"metadata": {"k": "v", "l": "w"}}, ["r2"]),
            ({"metadata": {"k": "v", "l": "x"}}, []),
            ({"metadata": {'say "hi"': "ä\0\n"}}, ["r3"]),
            ({"metadata": {"n": "1"}}, []),
            ({"recorded_only": True, "model": "q"}, ["r2"]),
        ]:
            assert await listed(store, **where) == expected, where


class TestPaths:
    async def test_a_path_brings_the_system_messages_that_were_sent_on_it(self, store: MemoryStore):
        def said(name: str, text: str, *told: Message, head: str = "") -> object:
            messages = (*told, user(text))
            return turn(name, messages=messages, parent_head=head, reply=assistant(f"to {text}"))

        await store.append([said("r1", "a", system("brief"))])
        path = await store.path_after("ann", "c", "r1")
        assert path is not None
        head = path.nodes[-1].hash.hex()
        await store.append([said("r2", "b", head=head), said("r3", "c", system("long"), head=head)])
        assert await path_after(store, "r2") == ["brief", "a", "to a", "b", "to b"]
        assert await path_after(store, "r3") == ["long", "a", "to a", "c", "to c"]
        assert await path_after(store, "r1") == ["brief", "a", "to a"]

    async def test_of_two_turns_that_end_alike_each_has_its_own_system_message(
        self, store: MemoryStore
    ):
        for n, told in enumerate(["brief", "long"]):
            sent = (system(told), user("hi"))
            await store.append([turn(f"r{n}", messages=sent, reply=assistant("ho"))])
        assert await path_after(store, "r0") == ["brief", "hi", "ho"]
        assert await path_after(store, "r1") == ["long", "hi", "ho"]

    async def test_a_turn_without_an_answer_ends_with_its_question(self, store: MemoryStore):
        await store.append([turn("r1", "hi")])
        assert await path_after(store, "r1") == ["hi"]

    async def test_only_turns_of_the_conversation_have_a_path_in_it(self, store: MemoryStore):
        await store.append([turn("r1", "hi")])
        assert await store.path_after("ann", "d", "r1") is None
        assert await store.path_after("ann", "c", "r2") is None
        assert await store.path_after("bob", "c", "r1") is None


class TestDeletingTurns:
    async def test_it_takes_what_only_it_has(self, store: MemoryStore):
        first = turn("r1", "hi", reply=assistant("ho"), usage=Usage(total_tokens=5))
        second = turn("r2", "hi", "ho", "more", reply=assistant("fine"), record=b"{}")
        await store.append([first, replace(second, usage=Usage(total_tokens=7))])
        assert await store.delete_turn("ann", "r2", LATER_US) == 2
        assert await active(store) == ["hi", "ho"]
        conversation = await store.conversation("ann", "c")
        assert conversation is not None
        assert (conversation.token_count, conversation.updated_us) == (5, LATER_US)
        assert await store.turn("ann", "r2") is None
        assert await store.delete_turn("ann", "r2", LATER_US) is None

    async def test_what_a_later_turn_builds_on_goes_with_that_one(self, store: MemoryStore):
        await store.append([turn("r1", "hi", reply=assistant("ho"))])
        await store.append([turn("r2", "more", parent_head="active", reply=assistant("fine"))])
        assert await store.delete_turn("ann", "r1", LATER_US) == 0
        assert await active(store) == ["hi", "ho", "more", "fine"]
        assert await store.delete_turn("ann", "r2", LATER_US) == 4
        assert await store.conversation("ann", "c") is None

    async def test_an_answer_that_another_turn_got_too_stays(self, store: MemoryStore):
        same = [turn(name, "hi", reply=assistant("ho")) for name in ("r1", "r2")]
        await store.append(same)
        assert await store.delete_turn("ann", "r1", LATER_US) == 0
        assert await store.delete_turn("ann", "r2", LATER_US) == 2

    async def test_the_active_path_is_what_it_was_before(self, store: MemoryStore):
        await store.append([turn("r1", "hi", reply=assistant("ho"))])
        await store.append([turn("r2", "hi", reply=assistant("hello"))])
        assert await active(store) == ["hi", "hello"]
        assert await store.delete_turn("ann", "r2", LATER_US) == 1
        assert await active(store) == ["hi", "ho"]

    async def test_who_continued_it_without_a_word_continues_what_is_left(self, store: MemoryStore):
        await store.append([turn("r1", "hi", reply=assistant("ho"))])
        told = turn("r2", messages=(system("be brief"),), parent_head="active")
        await store.append([turn("r3", "hi", reply=assistant("hello")), told])
        assert await path_after(store, "r2") == ["be brief", "hi", "hello"]
        assert await store.delete_turn("ann", "r3", LATER_US) == 1
        assert await path_after(store, "r2") == ["be brief", "hi"]

    async def test_it_stays_away_though_it_was_still_on_its_way(self, store: MemoryStore):
        assert await store.delete_turn("ann", "r1", NOW_US) is None
        late = turn("r1", "hi", at_us=LATER_US)
        assert await store.append([late, turn("r1", "hi", user_id="bob")]) == [
            *(Fate.DELETED, Fate.STORED)
        ]

    async def test_system_messages_go_with_the_last_turn_that_sent_them(self, store: MemoryStore):
        for n, told in enumerate(["brief", "long", "brief"]):
            sent = (system(told), user(f"{n}"))
            await store.append([turn(f"r{n}", messages=sent, parent_head="active")])
        latest = []
        for name in ("r2", "r1", "r0"):
            await store.delete_turn("ann", name, LATER_US)
            path = await store.active_path("ann", "c")
            latest.append([each.text for each in path.system] if path else None)
        assert latest == [["long"], ["brief"], None]

    async def test_a_title_goes_with_what_it_was_made_of(self, store: MemoryStore):
        await store.append([turn("r1", "my secret")])
        await store.append([turn("r2", "my garden", at_us=LATER_US)])
        await store.delete_turn("ann", "r1", LATER_US)
        conversation = await store.conversation("ann", "c")
        assert conversation is not None
        assert conversation.title == "my garden"

    @pytest.mark.parametrize("wanted", ["created", "named"])
    async def test_a_conversation_that_somebody_wants_stays(self, store: MemoryStore, wanted: str):
        if wanted == "created":
            await store.create(NewConversation("ann", "c"), NOW_US)
        await store.append([turn("r1", "hi")])
        if wanted == "named":
            await store.update("ann", "c", ConversationChange(tags=("t",)), NOW_US)
        assert await store.delete_turn("ann", "r1", LATER_US) == 1
        conversation = await store.conversation("ann", "c")
        assert conversation is not None
        assert (conversation.message_count, conversation.title) == (0, "")
        await store.append([turn("r2", "again", parent_head="active")])
        assert await active(store) == ["again"]


class TestDeletingMessages:
    async def test_what_followed_follows_what_it_followed(self, store: MemoryStore):
        await store.append([turn("r1", "a", "b", "c", "d")])
        before = await message_id(store, "d")
        await delete_message(store, "b")
        assert await active(store) == ["a", "c", "d"]
        assert await texts(store, "r1") == ["a", "c", "d"]
        assert await message_id(store, "d") == before
        rest = turn("r2", messages=(user("a"), user("c"), assistant("d"), user("e")))
        await store.append([rest])
        assert (await store.stats("ann")).messages == 4

    async def test_the_last_one_leaves_the_active_path_to_its_parent(self, store: MemoryStore):
        await store.append([turn("r1", "a", reply=assistant("b"), other_replies=(user("x"),))])
        await delete_message(store, "b")
        assert await active(store) == ["a"]
        stored = await found(store, "r1")
        assert (stored.reply, stored.other_replies) == (None, ())
        assert await path_after(store, "r1") == ["a"]

    async def test_of_two_that_become_the_same_one_stays(self, store: MemoryStore):
        short = turn("r1", messages=(user("a"),), reply=assistant("c"), model="one")
        middle = (user("a"), user("b"))
        worded = Message(role="assistant", text="c", reasoning="hm")
        long = turn("r2", messages=middle, reply=worded, model="two", usage=Usage(total_tokens=3))
        asked = turn("r3", messages=(*middle, assistant("c")))
        await store.append([short, long, asked])
        await delete_message(store, "b")
        assert await active(store) == ["a", "c"]
        replies = [(await found(store, name)).reply for name in ("r1", "r2")]
        assert [each and each.model for each in replies] == ["one", "two"]
        assert [each and each.message.reasoning for each in replies] == ["", "hm"]
        assert await texts(store, "r3") == ["a", "c"]
        assert (await store.stats("ann")).messages == 2

    async def test_a_title_goes_with_it(self, store: MemoryStore):
        await store.append([turn("r1", "my secret", "ho", "my garden")])
        await delete_message(store, "my secret")
        conversation = await store.conversation("ann", "c")
        assert conversation is not None
        assert (conversation.title, conversation.updated_us) == ("my garden", LATER_US)

    async def test_a_long_conversation_loses_its_first_message(self, store: MemoryStore):
        await store.append([turn("r1", *(f"text {n}" for n in range(1500)))])
        await delete_message(store, "text 0")
        assert await active(store) == [f"text {n}" for n in range(1, 1500)]
        conversation = await store.conversation("ann", "c")
        assert conversation is not None
        assert conversation.message_count == 1499
