"""MemoryService over a real gRPC server: what is kept on purpose, corrected and forgotten."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from lair.common.v1.chat_pb2 import Message
from lair.memory.v1 import conversation_service_pb2 as conversation
from lair.memory.v1 import memory_service_pb2 as memory
from svckit.errors import from_rpc_error
from tests.memory.chats import Memories, WordEmbedder, assistant, running, user


@pytest.fixture
async def memories(tmp_path: Path) -> AsyncIterator[Memories]:
    async with running(tmp_path, WordEmbedder({"puppy": "dog"})) as memories:
        yield memories


async def fault(call: Any) -> tuple[str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = from_rpc_error(caught.value, "memory")
    return error.reason, error.metadata


async def test_a_note_comes_back_as_it_is_stored(memories: Memories):
    note = await memories.remember(" Always answer in German.\n", project="p", pinned=True)
    assert (note.text, note.project, note.pinned) == ("Always answer in German.", "p", True)
    assert (note.role, note.conversation_id) == ("user", "lair:notes:p")
    assert list((await memories.notes()).notes) == [note]
    listed = await memories.conversations.ListConversations(
        conversation.ListConversationsRequest(), timeout=10
    )
    assert [(each.id, each.title) for each in listed.conversations] == [("lair:notes:p", "Notes")]
    assert await memories.texts("lair:notes:p") == ["Always answer in German."]


async def test_a_note_is_found_like_anything_else_that_was_said(memories: Memories):
    await memories.remember("My puppy is called Rex")
    await memories.indexed()
    assert await memories.found("dog called Rex") == ["My puppy is called Rex"]
    assert await memories.found("dog called Rex", user_id="bob") == []


async def test_the_same_note_twice_is_one(memories: Memories):
    first = await memories.remember("tea")
    assert await memories.remember("  tea ") == first
    assert len((await memories.notes()).notes) == 1


async def test_notes_come_in_pages(memories: Memories):
    for n in range(5):
        await memories.remember(f"note {n}")
    first = await memories.notes(page_size=3)
    rest = await memories.notes(page_size=3, page_token=first.next_page_token)
    texts = [note.text for note in (*first.notes, *rest.notes)]
    assert texts == [f"note {n}" for n in (4, 3, 2, 1, 0)]
    assert rest.next_page_token == ""


async def test_a_project_with_a_long_name_has_notes_too(memories: Memories):
    note = await memories.remember("tea", project="p" * 256)
    assert len(note.conversation_id) <= 256
    assert await memories.texts(note.conversation_id) == ["tea"]


async def test_a_note_is_deleted_like_a_message(memories: Memories):
    note = await memories.remember("tea", pinned=True)
    await memories.conversations.DeleteMessage(
        conversation.DeleteMessageRequest(
            conversation_id=note.conversation_id, message_id=note.message_id
        ),
        timeout=10,
    )
    assert list((await memories.notes()).notes) == []
    assert (await memories.remember("tea")).message_id > note.message_id


async def test_a_message_is_pinned_and_unpinned(memories: Memories):
    await memories.say("c", [user("dog?")], assistant("Rex"))
    number = (await memories.messages("c"))[1].id
    assert (await memories.pin(number, project="p")).pinned
    [note] = (await memories.notes(pinned_only=True)).notes
    assert (note.message_id, note.text, note.project) == (number, "Rex", "p")
    assert not (await memories.pin(number, unpin=True)).pinned
    assert list((await memories.notes()).notes) == []


async def test_a_correction_is_found_and_what_was_said_stays_said(memories: Memories):
    await memories.say("c", [user("My puppy is Rex")], assistant("Nice"))
    number = (await memories.messages("c"))[0].id
    await memories.indexed()
    note = await memories.correct(number, "My cat is Tom")
    assert note.text == "My cat is Tom"
    await memories.indexed()
    assert await memories.found("dog Rex") == []
    passage = (await memories.search("cat Tom")).passages[0]
    assert (passage.text, passage.corrected) == ("My cat is Tom", True)
    assert await memories.texts("c") == ["My puppy is Rex", "Nice"]
    history = await memories.history("c", [user("and?")])
    assert [each.text for each in history.history] == ["My puppy is Rex", "Nice"]
    await memories.correct(number, "")
    await memories.indexed()
    passage = (await memories.search("dog Rex")).passages[0]
    assert (passage.text, passage.corrected) == ("My puppy is Rex", False)


async def test_a_topic_is_what_has_all_its_words(memories: Memories):
    await memories.say("c", [user("My divorce was finalised")], assistant("Sorry to hear that"))
    await memories.say("d", [user("The divorces of kings")], project="p")
    await memories.say("e", [user("My dog was finalised, then the divorce of my neighbour")])
    await memories.say("f", [user("divorce finalised")], user_id="bob")
    await memories.indexed()
    about = "everything about my divorce that was finalised"
    preview = await memories.forget(topic=about, preview=True)
    texts = {passage.text for passage in preview.passages}
    assert texts == {
        "My divorce was finalised",
        "My dog was finalised, then the divorce of my neighbour",
    }
    assert (preview.message_count, preview.conversation_count) == (2, 1)
    assert len(await memories.found("divorce")) == 3
    assert await memories.forget(topic=about) == preview
    assert await memories.found("divorce") == ["The divorces of kings"]
    assert await memories.found("divorce", user_id="bob") == ["divorce finalised"]
    assert await memories.texts("c") == ["Sorry to hear that"]
    assert list((await memories.forget(topic=about)).passages) == []


async def test_a_large_topic_goes_in_parts(memories: Memories):
    await memories.say("c", [user(f"puppy number {n}") for n in range(130)])
    gone = await memories.forget(topic="puppy")
    assert (gone.message_count, len(gone.passages)) == (100, 100)
    assert (await memories.forget(topic="puppy")).message_count == 30


async def test_recalls_are_counted_that_were_not_written_down_yet(memories: Memories):
    await memories.say("c", [user("My puppy is Rex")])
    await memories.indexed()
    await memories.recalled("What is my dog called?", request_id="q", project="p")
    assert (await memories.forget(project="p")).recall_count == 1
    assert (await memories.forget(project="p")).recall_count == 0


async def test_everything_of_one_user_goes(memories: Memories):
    for user_id in ("", "bob"):
        await memories.say("c", [user("My puppy is Rex")], assistant("Nice"), user_id=user_id)
        await memories.remember("tea", user_id=user_id)
    gone = await memories.forget(everything=True)
    assert (gone.message_count, gone.conversation_count, gone.note_count) == (3, 2, 1)
    assert await memories.found("puppy tea") == []
    assert list((await memories.notes()).notes) == []
    await memories.indexed()
    assert "My puppy is Rex" in await memories.found("dog", user_id="bob")
    assert len((await memories.notes(user_id="bob")).notes) == 1


async def test_pictures_can_be_pinned_and_say_nothing(memories: Memories):
    picture = Message(role="user")
    picture.parts.parts.add(type="image_url").image_url.url = "data:,x"
    await memories.say("c", [picture])
    number = (await memories.messages("c"))[0].id
    assert (await memories.pin(number)).text == ""
    assert (await memories.recalled("hello")).context == ""


BAD_REQUESTS = {
    "blank text": (memory.RememberRequest(text=" "), "text"),
    "long text": (memory.RememberRequest(text="x" * 4001), "text"),
    "long project": (memory.RememberRequest(text="x", project="p" * 257), "project"),
    "long user": (memory.RememberRequest(text="x", user_id="u" * 257), "user_id"),
    "negative page": (memory.ListNotesRequest(page_size=-1), "page_size"),
    "foreign token": (memory.ListNotesRequest(page_token="x"), "page_token"),
    "pin of nothing": (memory.PinMessageRequest(), "message_id"),
    "negative number": (memory.CorrectMessageRequest(message_id=-1), "message_id"),
    "long correction": (memory.CorrectMessageRequest(message_id=1, text="x" * 4001), "text"),
    "no target": (memory.ForgetRequest(), "target"),
    "not everything": (memory.ForgetRequest(everything=False), "everything"),
    "no project": (memory.ForgetRequest(project=""), "project"),
    "no conversation": (memory.ForgetRequest(conversation_id=""), "conversation_id"),
    "blank topic": (memory.ForgetRequest(topic=" "), "topic"),
    "topic of nothing": (memory.ForgetRequest(topic="everything about me"), "topic"),
    "many messages": (
        memory.ForgetRequest(messages=memory.MessageIds(ids=range(1001))),
        "messages.ids",
    ),
}


@pytest.mark.parametrize(("request_", "field"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
async def test_bad_fields_are_named(memories: Memories, request_: Any, field: str):
    verb = type(request_).__name__.removesuffix("Request")
    call = getattr(memories.keeping, verb)
    assert await fault(call(request_, timeout=10)) == ("INVALID_FIELD", {"field": field})


async def test_what_is_not_there_is_said_to_be_missing(memories: Memories):
    note = await memories.remember("tea", user_id="bob")
    number = note.message_id
    missing = ("MESSAGE_NOT_FOUND", {"message_id": str(number)})
    assert await fault(memories.pin(number)) == missing
    assert await fault(memories.pin(number, unpin=True)) == missing
    assert await fault(memories.correct(number, "mine")) == missing
    assert await fault(memories.forget(conversation_id=note.conversation_id)) == (
        "CONVERSATION_NOT_FOUND",
        {"conversation_id": note.conversation_id},
    )
    gone = await memories.forget(messages=memory.MessageIds(ids=[number, 2**63 - 1]))
    assert gone == memory.ForgetResponse()
    assert len((await memories.notes(user_id="bob")).notes) == 1
