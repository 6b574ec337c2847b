"""What every MemoryStore keeps of recalls, how long, and what takes them away."""

from typing import Any

from memory_svc.model import Passage, Quote, Recall
from memory_svc.storage.base import MemoryStore
from memory_svc.storage.local.recalls import MOST_OF_A_USER
from svckit.times import now_us
from tests.memory.chats import DAY_US, assistant
from tests.memory.stores import turn


async def said(store: MemoryStore, conversation_id: str = "c") -> list[Passage]:
    """Return what `ann` said in a conversation, as if it were found."""
    conversation = await store.conversation("ann", conversation_id)
    assert conversation is not None
    stored = await store.messages(conversation.key, -1, 100, include_inactive=False)
    return [
        Passage(
            message_id=each.id,
            conversation_id=conversation.id,
            conversation_title=conversation.title,
            role=each.message.role,
            text=each.message.text,
            created_us=each.created_us,
            score=0.5,
            lexical_score=0.25,
            dense_score=None,
        )
        for each in stored
    ]


def a_recall(request_id: str = "q", **other: Any) -> Recall:
    fixed = {"user_id": "ann", "conversation_id": "now", "at_us": now_us(), "query": "dog?"}
    return Recall(request_id=request_id, **{**fixed, **other})


async def recalled(store: MemoryStore, conversation_id: str = "c") -> Recall:
    """Keep a recall of all that was said in a conversation, its first message quoted."""
    found = await said(store, conversation_id)
    quotes = (Quote(found[0], f"- {found[0].text}"),)
    recall = a_recall(candidates=tuple(found), quotes=quotes, degraded="meaning: off")
    await store.keep_recalls([recall])
    return recall


async def test_a_recall_comes_back_as_it_was(store: MemoryStore):
    await store.append([turn("r", "my dog", reply=assistant("Rex"))])
    recall = await recalled(store)
    assert await store.recall("ann", "q") == recall
    assert await store.recall("bob", "q") is None
    assert await store.recall("ann", "r") is None


async def test_a_user_of_whom_nothing_is_stored_has_recalls_too(store: MemoryStore):
    await store.keep_recalls([a_recall()])
    assert await store.recall("ann", "q") is not None


async def test_of_two_for_one_request_the_later_is_kept(store: MemoryStore):
    await store.keep_recalls([a_recall(), a_recall(query="cat?")])
    found = await store.recall("ann", "q")
    assert found is not None
    assert found.query == "cat?"


async def test_a_message_takes_its_quote_with_it(store: MemoryStore):
    await store.append([turn("r", "my dog", reply=assistant("Rex"))])
    await recalled(store)
    [first, second] = await said(store)
    conversation = await store.conversation("ann", "c")
    assert conversation is not None
    assert await store.delete_message(conversation.key, first.message_id, now_us())
    found = await store.recall("ann", "q")
    assert found is not None
    assert [each.text for each in found.candidates] == [second.text]
    assert found.quotes == ()


async def test_what_was_deleted_before_it_was_kept_is_not_quoted(store: MemoryStore):
    await store.append([turn("r", "my dog")])
    found = await said(store)
    await store.delete("ann", "c", now_us())
    quotes = (Quote(found[0], "- my dog"),)
    await store.keep_recalls([a_recall(candidates=tuple(found), quotes=quotes)])
    kept_of_it = await store.recall("ann", "q")
    assert kept_of_it is not None
    assert (kept_of_it.candidates, kept_of_it.quotes) == ((), ())


async def test_a_conversation_takes_its_own_recalls_with_it(store: MemoryStore):
    await store.append([turn("r1", "my dog"), turn("r2", "dog?", conversation_id="now")])
    await recalled(store)
    await store.delete("ann", "now", now_us())
    assert await store.recall("ann", "q") is None


async def test_so_does_one_that_was_never_stored_or_goes_before(store: MemoryStore):
    await store.keep_recalls([a_recall()])
    await store.delete("ann", "now", now_us())
    assert await store.recall("ann", "q") is None
    await store.keep_recalls([a_recall(at_us=now_us() - 1_000_000)])
    assert await store.recall("ann", "q") is None


async def test_another_users_conversation_of_the_same_name_takes_nothing(store: MemoryStore):
    await store.append([turn("r", "dog?", conversation_id="now", user_id="bob")])
    await store.keep_recalls([a_recall()])
    await store.delete("bob", "now", now_us())
    assert await store.recall("ann", "q") is not None


async def test_a_turn_and_a_message_take_what_was_recalled_for_them(store: MemoryStore):
    for request_id in ("q", "r"):
        await store.append([turn(request_id, request_id, conversation_id="now")])
    await store.keep_recalls([a_recall("q")])
    assert await store.delete_turn("ann", "q", now_us()) is not None
    assert await store.recall("ann", "q") is None
    await store.keep_recalls([a_recall("q"), a_recall("r")])
    assert await store.recall("ann", "q") is None, "it was deleted"
    conversation = await store.conversation("ann", "now")
    assert conversation is not None
    [message] = await said(store, "now")
    assert await store.delete_message(conversation.key, message.message_id, now_us())
    assert await store.recall("ann", "r") is None


async def test_old_recalls_are_dropped(store: MemoryStore):
    old = a_recall("old", at_us=now_us() - 31 * DAY_US)
    await store.keep_recalls([old, a_recall("new")])
    assert await store.recall("ann", "old") is None
    assert await store.recall("ann", "new") is not None


async def test_of_many_recalls_of_a_user_the_last_are_kept(store: MemoryStore):
    await store.keep_recalls([a_recall("bobs", user_id="bob")])
    await store.keep_recalls([a_recall(f"q{n}") for n in range(MOST_OF_A_USER + 2)])
    left = [n for n in range(5) if await store.recall("ann", f"q{n}")]
    assert left == [2, 3, 4]
    assert await store.recall("bob", "bobs") is not None
