"""Anthropic's own client against a real lair with a genuine llama.cpp behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import anthropic
import grpc
import pytest

from lair.common.v1.chat_pb2 import Message
from lair.router.v1.chat_pb2 import ChatCall
from lair.router.v1.router_service_pb2 import CountTokensRequest
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.e2e.stack import Lair, eventually

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"name": "get_weather", "description": "d", "input_schema": CITY}


@pytest.fixture
def client(lair: Lair) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=lair.url, api_key="none", max_retries=0) as client:
        yield client


def ask(client: anthropic.Anthropic, content: Any, *, stream: bool = False, **options: Any) -> Any:
    """Send one message; of a stream return what its helper puts together."""
    said = content if isinstance(content, list) else [{"role": "user", "content": content}]
    # The newest versions of the client know no temperature; the model's servers do.
    options["extra_body"] = {"temperature": 0}
    fields = {"model": "auto", "max_tokens": 80, "messages": said, **options}
    if not stream:
        return client.messages.create(**fields)
    with client.messages.stream(**fields) as events:
        return events.get_final_message()


both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@both_ways
def test_a_message_is_answered_by_the_real_model(client: anthropic.Anthropic, stream: bool) -> None:
    message = ask(client, "Say hello", stream=stream)
    assert [block.text for block in message.content] == ["Hello from the tiny model."]
    assert (message.stop_reason, message.model) == ("end_turn", "tiny-chat")
    usage = message.usage
    read = usage.input_tokens + (usage.cache_read_input_tokens or 0)
    assert (read > 5, usage.output_tokens > 3) == (True, True)


@both_ways
def test_two_calls_at_once(client: anthropic.Anthropic, stream: bool) -> None:
    message = ask(client, "What is the weather in Oslo and Cairo?", stream=stream, tools=[WEATHER])
    calls = [block for block in message.content if block.type == "tool_use"]
    assert [call.input for call in calls] == [{"city": "Oslo"}, {"city": "Cairo"}]
    assert (len({call.id for call in calls}), message.stop_reason) == (2, "tool_use")


@both_ways
def test_a_tool_loop(client: anthropic.Anthropic, stream: bool) -> None:
    question = {"role": "user", "content": "What is the weather in Oslo?"}
    message = ask(client, [question], stream=stream, tools=[WEATHER])
    [call] = (block for block in message.content if block.type == "tool_use")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    loop = [question, message.to_param(), {"role": "user", "content": [result]}]
    answer = ask(client, loop, stream=stream, tools=[WEATHER])
    assert [block.text for block in answer.content] == ["It is sunny in Oslo."]
    assert answer.stop_reason == "end_turn"


@both_ways
def test_an_answer_that_is_cut_off_says_so(client: anthropic.Anthropic, stream: bool) -> None:
    message = ask(client, "Count to 20", stream=stream, max_tokens=5)
    assert message.stop_reason == "max_tokens"


@both_ways
def test_a_stop_sequence_ends_the_answer(client: anthropic.Anthropic, stream: bool) -> None:
    stops = ["7", "a", "b", "c", "d"]
    message = ask(client, "Count to 12", stream=stream, stop_sequences=stops)
    assert message.content[0].text.strip() == "1 2 3 4 5 6"


def test_the_system_prompt_reaches_the_model(client: anthropic.Anthropic) -> None:
    system: Any = [{"type": "text", "text": "The user's favourite colour is teal."}]
    message = ask(client, "What is my favourite colour?", system=system)
    assert "teal" in message.content[0].text


def test_headers_of_lair_keep_a_conversation(client: anthropic.Anthropic) -> None:
    headers = {"X-Conversation-ID": f"anthropic-{uuid4().hex}"}
    ask(client, "My favourite colour is teal.", extra_headers=headers)
    message = ask(client, "What is my favourite colour?", extra_headers=headers)
    assert "teal" in message.content[0].text


def test_a_message_is_counted_under_its_own_endpoint(
    lair: Lair, client: anthropic.Anthropic
) -> None:
    message = ask(client, "Say hello")

    def find() -> Any:
        records = lair.get("/metrics/recent")["requests"]
        return next((r for r in records if r["request_id"] == message._request_id), None)

    record = eventually(find, what="the request is counted")
    assert record["endpoint"] == "/v1/messages"
    assert record["client"].startswith("anthropic-python/")
    assert message.id == f"msg_{record['request_id'].replace('-', '')}"


def test_tokens_are_counted_as_the_model_counts_them(client: anthropic.Anthropic) -> None:
    said: Any = [{"role": "user", "content": "What is the weather in Oslo?"}]
    counted = client.messages.count_tokens(
        model="auto", messages=said, system="Be terse.", tools=[WEATHER]
    )
    usage = ask(client, said, system="Be terse.", tools=[WEATHER]).usage
    assert counted.input_tokens == usage.input_tokens + (usage.cache_read_input_tokens or 0)


def test_tokens_are_counted_by_grpc_as_well(lair: Lair) -> None:
    call = ChatCall(model="auto", messages=[Message(role="user", text="Say hello")])
    with grpc.insecure_channel(f"127.0.0.1:{lair.port + 1}") as channel:
        counted = RouterServiceStub(channel).CountTokens(CountTokensRequest(call=call), timeout=20)
    assert (counted.exact, counted.backend, counted.model) == (True, "tiny", "tiny-chat")
    assert counted.token_count > 5


def test_an_unknown_model_is_a_404_in_anthropics_words(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="'tiny-chat'") as raised:
        ask(client, "Hi", model="tiny-chta")
    assert raised.value.body["error"]["type"] == "not_found_error"
