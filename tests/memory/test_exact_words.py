"""What is found as it stands: names of code, signs, other scripts; over gRPC, by words alone."""

import pytest

from lair.memory.v1 import conversation_service_pb2 as conversation
from lair.memory.v1 import recall_service_pb2 as recall
from svckit.times import now_us
from tests.memory.chats import DAY_US, NOW_US, Memories, assistant, user

SAID = {
    "snake": "the bug is in parse_config_v2 of the loader",
    "error": "Chrome says ERR_CONN_RESET when I open it",
    "path": "look at router_svc/backends/ollama.py please",
    "uuid": "request 3f2b8c1e-9d4a-4e7b-8c55-0a1b2c3d4e5f failed",
    "camel": "rename getUserName to something shorter",
    "version": "we run v2.3.1-rc4 in staging",
    "german": "Meine Großmutter wohnt in Köln und liebt Straßenbahnen",
    "chinese": "我们上周讨论了股票交易的策略",
    "japanese": "昨日は京都で抹茶を飲みました",
    "korean": "서울에서 김치찌개를 먹었어요",
    "thai": "ฉันชอบกินข้าวผัด",
    "emoji": "see you at the party 🎉 on Friday",
}


@pytest.fixture
async def said(memories: Memories) -> Memories:
    for name, text in SAID.items():
        await memories.say(name, [user(text)])
    return memories


async def best(memories: Memories, query: str) -> str:
    response = await memories.search(query)
    return next((passage.conversation_id for passage in response.passages), "")


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("parse_config_v2", "snake"),
        ("where is PARSE_CONFIG_V2 used?", "snake"),
        ("ERR_CONN_RESET", "error"),
        ("what does err conn reset mean", "error"),
        ("router_svc/backends/ollama.py", "path"),
        ("ollama.py", "path"),
        ("3f2b8c1e-9d4a-4e7b-8c55-0a1b2c3d4e5f", "uuid"),
        ("getUserName", "camel"),
        ("getusername", "camel"),
        ("user name", "camel"),
        ("v2.3.1-rc4", "version"),
        ("Wo wohnt meine Grossmutter in Köln?", "german"),
        ("koln", "german"),
        ("股票", "chinese"),
        ("我们讨论过交易吗?", "chinese"),
        ("京都で何を飲みましたか", "japanese"),
        ("김치찌개", "korean"),
        ("ข้าวผัด", "thai"),
        ("🎉 party", "emoji"),
    ],
)
async def test_it_is_found(said: Memories, query: str, name: str):
    assert await best(said, query) == name


@pytest.mark.parametrize("query", ["油画", "🎉", "who are you?", '"" OR (', "the of and"])
async def test_what_nobody_said_is_not_found(said: Memories, query: str):
    assert await best(said, query) == ""


async def test_a_very_long_question_is_read_from_its_beginning(said: Memories):
    assert await best(said, f"ERR_CONN_RESET {'and so on ' * 1000}") == "error"


async def test_what_is_deleted_is_not_found_by_its_signs_either(said: Memories):
    [message] = await said.messages("chinese")
    await said.conversations.DeleteMessage(
        conversation.DeleteMessageRequest(conversation_id="chinese", message_id=message.id)
    )
    assert await best(said, "股票") == ""


async def test_a_question_for_a_time_alone_finds_what_was_said_then(memories: Memories):
    now = now_us()
    await memories.say("old", [user("I planted tulips")], at_us=now - 60 * DAY_US)
    await memories.say("new", [user("I baked bread")], assistant("Well done"), at_us=now - DAY_US)
    found = await memories.found("What did we talk about yesterday?")
    assert sorted(found) == ["I baked bread", "Well done"]
    assert await memories.found("What did we talk about two months ago?") == ["I planted tulips"]


async def test_of_almost_the_same_the_rest_comes_first(memories: Memories):
    words = " ".join(f"word{n}" for n in range(30))
    for n, text in enumerate((f"zebra {words}", f"zebra {words} indeed", "a zebra and a giraffe")):
        await memories.say(f"c{n}", [user(text)], at_us=NOW_US + n)
    found = [each.conversation_id for each in (await memories.search("zebra")).passages]
    assert sorted(found[:2]) in (["c0", "c2"], ["c1", "c2"])
    where = recall.SearchFilter(conversation_id="c1")
    assert len(await memories.found("zebra", filter=where)) == 1
