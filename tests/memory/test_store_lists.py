"""Which conversations a MemoryStore lists, and how it counts what it keeps."""

import pytest

from lair.common.v1.chat_pb2 import ContentPart, ContentParts, Message
from memory_svc.model import ConversationFilter, NewConversation, Stats, Usage
from memory_svc.storage.base import MemoryStore
from tests.memory.chats import NOW_US, assistant
from tests.memory.stores import turn

NOTHING = Stats(0, 0, 0, 0, 0, 0, None, None, 0)


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ({"title_query": "trip"}, ["b", "a"]),
        ({"title_query": "ÖSTER"}, ["a"]),
        ({"title_query": "strasse"}, ["b"]),
        ({"title_query": "100%"}, ["c"]),
        ({"title_query": "100_"}, []),
        ({"tags": ("fun", "x")}, ["c", "a"]),
        ({"tags": ("fu",)}, []),
        ({"start_us": 2}, ["c", "b"]),
        ({"end_us": 2}, ["a"]),
        ({"start_us": 2, "end_us": 3}, ["b"]),
        ({"title_query": "trip", "tags": ("fun",), "start_us": 1}, ["a"]),
        ({"title_query": "trip", "user_id": "bob"}, ["z"]),
        ({"title_query": "TRIP", "user_id": None}, ["z", "b", "a"]),
    ],
)
async def test_conversations_are_narrowed(store: MemoryStore, where: dict, ids: list[str]):
    for new, at_us in [
        (NewConversation("ann", "a", "Trip to Österreich", tags=("fun", "far")), 1),
        (NewConversation("ann", "b", "Last trip: Hauptstraße"), 2),
        (NewConversation("ann", "c", "100% sure", tags=("x",)), 3),
        (NewConversation("bob", "z", "a trip of bob"), 4),
    ]:
        await store.create(new, at_us)
    narrowed = ConversationFilter(**{"user_id": "ann", **where})
    assert [each.id for each in await store.conversations(narrowed, None, 9)] == ids
    assert await store.count_conversations(narrowed) == len(ids)


class TestStats:
    async def test_nothing_is_counted_of_nothing(self, store: MemoryStore):
        assert await store.stats("ann") == NOTHING
        assert await store.stats(None) == NOTHING

    async def test_everything_of_a_user_is_counted(self, store: MemoryStore):
        usage = Usage(total_tokens=7)
        tool = Message(role="tool", text="42")
        parts = ContentParts(parts=[ContentPart(type="text", text="ä")])
        sent = (Message(role="user", parts=parts), tool)
        await store.append([turn("r1", messages=sent, reply=assistant("ho"), usage=usage)])
        await store.append([turn("r2", messages=sent, reply=assistant("no"), usage=usage)])
        await store.append([turn("r3", "hi", conversation_id="d", at_us=NOW_US + 5)])
        await store.append([turn("r1", "hello", user_id="bob", at_us=NOW_US - 5)])
        assert await store.stats("ann") == Stats(
            conversations=2,
            messages=5,
            user_messages=2,
            assistant_messages=2,
            tokens=14,
            text_bytes=2 + 2 + 2 + 2 + 2,
            first_us=NOW_US,
            last_us=NOW_US + 5,
            users=1,
        )
        every = await store.stats(None)
        assert (every.conversations, every.messages, every.users) == (3, 6, 2)
        assert (every.first_us, every.last_us) == (NOW_US - 5, NOW_US + 5)
        assert await store.stats("eve") == NOTHING
