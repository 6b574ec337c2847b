"""What every MemoryStore does; each implementation is a parameter of `store`."""

from dataclasses import replace
from pathlib import Path

from memory_svc.model import (
    ConversationChange,
    ConversationFilter,
    Fate,
    NewConversation,
    Usage,
)
from memory_svc.storage.base import MemoryStore
from memory_svc.storage.local.store import open_local_store
from tests.memory.chats import NOW_US, assistant
from tests.memory.stores import by_words, turn


class TestConversations:
    async def test_what_was_created_is_read_back(self, store: MemoryStore):
        new = NewConversation("ann", "c", "Trip", "p", "s", ("a", "b"), {"n": [1.5, None]})
        created = await store.create(new, NOW_US)
        assert created is not None
        assert await store.conversation("ann", "c") == created
        assert (created.title, created.tags, created.metadata) == (
            new.title,
            new.tags,
            new.metadata,
        )
        assert (created.message_count, created.created_us) == (0, NOW_US)

    async def test_an_id_is_taken_once_for_each_user(self, store: MemoryStore):
        assert await store.create(NewConversation("ann", "c"), 1)
        assert await store.create(NewConversation("ann", "c"), 2) is None
        assert await store.create(NewConversation("bob", "c"), 3)

    async def test_another_users_conversation_does_not_exist(self, store: MemoryStore):
        await store.append([turn("r1", "hi")])
        assert await store.conversation("bob", "c") is None
        assert await store.active_path("bob", "c") is None
        assert await store.update("bob", "c", ConversationChange(title="x"), 1) is None
        assert await store.delete("bob", "c", NOW_US) is None
        assert await store.conversation("ann", "c") is not None

    async def test_all_users_means_the_latest_changed(self, store: MemoryStore):
        await store.append([turn("r1", "hi", at_us=2)])
        await store.append([turn("r2", "ho", user_id="bob", at_us=1)])
        found = await store.conversation(None, "c")
        assert found is not None
        assert found.user_id == "ann"

    async def test_a_change_leaves_what_it_does_not_name(self, store: MemoryStore):
        await store.create(NewConversation("ann", "c", "old", tags=("t",)), 1)
        changed = await store.update("ann", "c", ConversationChange(title="new"), 5)
        assert changed is not None
        assert (changed.title, changed.tags, changed.updated_us) == ("new", ("t",), 5)
        changed = await store.update("ann", "c", ConversationChange(tags=()), 6)
        assert changed is not None
        assert (changed.title, changed.tags) == ("new", ())

    async def test_pages_go_on_behind_the_last_one_even_at_the_same_time(self, store: MemoryStore):
        for n in range(5):
            await store.create(NewConversation("ann", f"c{n}"), 7)
        await store.create(NewConversation("bob", "b"), 8)
        where = ConversationFilter("ann")
        first = await store.conversations(where, None, 3)
        rest = await store.conversations(where, (first[-1].updated_us, first[-1].key), 3)
        assert [c.id for c in (*first, *rest)] == ["c4", "c3", "c2", "c1", "c0"]
        assert await store.count_conversations(where) == 5
        assert await store.count_conversations(ConversationFilter(None)) == 6

    async def test_a_list_is_narrowed_by_project_and_session(self, store: MemoryStore):
        await store.create(NewConversation("ann", "a", project="p", session_id="s"), 1)
        await store.create(NewConversation("ann", "b", project="p"), 2)
        await store.create(NewConversation("ann", "c"), 3)
        for where, ids in [
            (ConversationFilter("ann", project="p"), ["b", "a"]),
            (ConversationFilter("ann", session_id="s"), ["a"]),
        ]:
            assert [c.id for c in await store.conversations(where, None, 9)] == ids
            assert await store.count_conversations(where) == len(ids)


class TestTurns:
    async def test_a_turn_is_stored_once(self, store: MemoryStore):
        again = turn("r1", "something else")
        assert await store.append([turn("r1", "hi"), again]) == [Fate.STORED, Fate.DUPLICATE]
        assert await store.append([again]) == [Fate.DUPLICATE]
        path = await store.active_path("ann", "c")
        assert path is not None
        assert [node.message.text for node in path.nodes] == ["hi"]

    async def test_two_users_may_use_the_same_request_id(self, store: MemoryStore):
        assert await store.append([turn("r1", "hi"), turn("r1", "ho", user_id="bob")]) == [
            Fate.STORED,
            Fate.STORED,
        ]

    async def test_a_long_path_keeps_its_order_and_can_be_deleted(self, store: MemoryStore):
        texts = [f"text {n}" for n in range(1500)]
        await store.append([turn("r1", *texts)])
        path = await store.active_path("ann", "c")
        assert path is not None
        assert [node.message.text for node in path.nodes] == texts
        assert await store.delete("ann", "c", NOW_US) == 1500

    async def test_an_answer_keeps_what_produced_it(self, store: MemoryStore):
        usage = Usage(prompt_tokens=3, completion_tokens=4, extra_json=b'{"x":1}')
        answered = replace(
            turn("r1", "hi"), reply=assistant("ho"), model="q", backend="b", usage=usage
        )
        await store.append([answered])
        conversation = await store.conversation("ann", "c")
        assert conversation is not None
        assert (conversation.token_count, conversation.message_count) == (7, 2)
        asked, said = await store.messages(conversation.key, -1, 9, include_inactive=False)
        assert (asked.model, asked.backend, asked.usage) == ("", "", None)
        assert (said.model, said.backend, said.usage) == ("q", "b", usage)
        assert (said.parent_id, said.position, said.request_id) == (asked.id, 1, "r1")
        assert said.created_us == NOW_US

    async def test_absurd_counts_of_tokens_do_not_stop_a_batch(self, store: MemoryStore):
        for n, tokens in enumerate([2**63 - 1, 2**63 - 1, -5]):
            usage = Usage(total_tokens=tokens)
            answered = replace(turn(f"r{n}", "hi"), reply=assistant(f"{n}"), usage=usage)
            assert await store.append([answered]) == [Fate.STORED]

    async def test_reopening_changes_nothing(self, tmp_path: Path):
        async with open_local_store(tmp_path / "m.db") as store:
            await store.append([turn("r1", "I like teal", "so do I")])
            before = await store.conversation("ann", "c"), await store.active_path("ann", "c")
        async with open_local_store(tmp_path / "m.db") as store:
            after = await store.conversation("ann", "c"), await store.active_path("ann", "c")
            assert after == before
            assert await by_words(store, "teal") == {"I like teal": 1}
            assert await store.append([turn("r1", "I like teal")]) == [Fate.DUPLICATE]
