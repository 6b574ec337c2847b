"""The official client, a genuine LLM behind, and what is left in memory and metrics."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from openai import NotFoundError, OpenAI

from tests.e2e.stack import Lair, eventually

QUESTION = "What is my favourite colour?"
FACT = "My favourite colour is teal."


@pytest.fixture
def client(lair: Lair) -> Any:
    with OpenAI(base_url=f"{lair.url}/v1", api_key="none") as client:
        yield client


def ask(client: OpenAI, *texts: str, **options: Any) -> Any:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
    return client.chat.completions.create(model="auto", temperature=0, messages=messages, **options)


def headers(conversation: str) -> dict[str, str]:
    return {"X-Conversation-ID": conversation}


def stored(lair: Lair, conversation: str, count: int) -> list[dict[str, Any]]:
    """Return the conversation's messages once there are `count`."""

    def read() -> list[dict[str, Any]]:
        listed = lair.get("/memory/conversations")["conversations"]
        if all(entry["id"] != conversation for entry in listed):
            return []
        messages = lair.get(f"/memory/conversations/{conversation}")["messages"]
        return messages if len(messages) >= count else []

    messages: list[dict[str, Any]] = eventually(read, what=f"{count} messages are stored")
    return messages


def test_a_chat_is_answered_by_the_real_model(client: OpenAI) -> None:
    reply = ask(client, "Say hello")
    assert reply.choices[0].message.content == "Hello from the tiny model."
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_a_stream_carries_the_same_text_and_the_usage_that_was_asked_for(client: OpenAI) -> None:
    chunks = list(ask(client, "Count to 12", stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "1 2 3 4 5 6 7 8 9 10 11 12"
    assert [c.usage is not None for c in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].usage.completion_tokens > 10
    assert len({(c.id, c.created, c.model) for c in chunks}) == 1


def test_a_stream_has_no_usage_unless_asked_for(client: OpenAI) -> None:
    assert all(chunk.usage is None for chunk in ask(client, "Say hello", stream=True))


def test_the_accumulating_helper_understands_the_stream(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model="auto", temperature=0, messages=[{"role": "user", "content": "Count to 7"}]
    ) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "1 2 3 4 5 6 7"


def test_tool_calls_arrive_whole(client: OpenAI) -> None:
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    }
    function = {"name": "get_weather", "description": "d", "parameters": parameters}
    tools = [{"type": "function", "function": function}]
    for stream in (False, True):
        options = {"tools": tools, "max_tokens": 80}
        question = "What is the weather in Oslo and Cairo?"
        if stream:
            with client.chat.completions.stream(
                model="auto",
                temperature=0,
                messages=[{"role": "user", "content": question}],
                **options,
            ) as events:
                choice = events.get_final_completion().choices[0]
        else:
            choice = ask(client, question, **options).choices[0]
        calls = choice.message.tool_calls
        assert [c.function.arguments for c in calls] == ['{"city": "Oslo"}', '{"city": "Cairo"}']
        assert len({c.id for c in calls}) == 2
        assert choice.finish_reason == "tool_calls"


def test_a_client_that_sends_only_new_messages_is_remembered(lair: Lair, client: OpenAI) -> None:
    conversation = f"new-only-{uuid4().hex}"
    assert "do not know" in ask(client, QUESTION).choices[0].message.content
    ask(client, FACT, extra_headers=headers(conversation))
    reply = client.chat.completions.with_raw_response.create(
        model="auto",
        temperature=0,
        messages=[{"role": "user", "content": QUESTION}],
        extra_headers=headers(conversation),
    )
    assert "teal" in reply.parse().choices[0].message.content
    assert reply.headers["x-conversation-id"] == conversation
    assert reply.headers["x-lair-memory"] == "history=2"
    messages = stored(lair, conversation, 4)
    assert [m["role"] for m in messages] == ["user", "assistant"] * 2
    assert messages[0]["content"] == FACT
    assert messages[3]["model"] == "tiny-chat"


def test_a_client_that_resends_its_history_stores_nothing_twice(lair: Lair, client: OpenAI) -> None:
    conversation = f"resend-{uuid4().hex}"
    first = ask(client, FACT, extra_headers=headers(conversation)).choices[0].message.content
    second = ask(client, FACT, first, QUESTION, extra_headers=headers(conversation))
    assert "teal" in second.choices[0].message.content
    messages = stored(lair, conversation, 4)
    assert [m["content"] for m in messages] == [
        FACT,
        first,
        QUESTION,
        second.choices[0].message.content,
    ]


def test_streams_are_remembered_too(lair: Lair, client: OpenAI) -> None:
    conversation = f"stream-{uuid4().hex}"
    list(ask(client, FACT, stream=True, extra_headers=headers(conversation)))
    chunks = ask(client, QUESTION, stream=True, extra_headers=headers(conversation))
    text = "".join(c.choices[0].delta.content or "" for c in chunks)
    assert "teal" in text
    assert stored(lair, conversation, 4)[3]["content"] == text


def test_another_users_conversation_is_not_there(lair: Lair, client: OpenAI) -> None:
    conversation = f"private-{uuid4().hex}"
    mine = {**headers(conversation), "X-User-ID": "alice"}
    ask(client, FACT, extra_headers=mine)
    reply = ask(client, QUESTION, extra_headers={**mine, "X-User-ID": "bob"})
    assert "teal" not in reply.choices[0].message.content
    listed = eventually(
        lambda: lair.get("/memory/conversations", X_User_ID="alice")["conversations"]
    )
    assert [entry["user_id"] for entry in listed] == ["alice"]


def test_every_request_is_counted_with_its_tokens(lair: Lair, client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="auto", temperature=0, messages=[{"role": "user", "content": "Say hello"}]
    )
    usage = raw.parse().usage
    request_id = raw.headers["x-request-id"]

    def find() -> Any:
        records = lair.get("/metrics/recent")["requests"]
        return next((r for r in records if r["request_id"] == request_id), None)

    record = eventually(find, what="the request is counted")
    assert record["status"] == "ok"
    assert record["backend"] == "tiny"
    assert record["usage"]["total_tokens"] == usage.total_tokens
    assert record["duration_ms"] > 0
    dashboard = lair.get("/metrics/dashboard")
    assert dashboard["requests"] >= 1
    assert dashboard["tokens"]["total"] >= usage.total_tokens
    assert dashboard["current_streak_days"] == 1


def test_an_unknown_model_is_a_404_that_names_a_near_one(client: OpenAI) -> None:
    with pytest.raises(NotFoundError) as error:
        client.chat.completions.create(
            model="tiny-chta", messages=[{"role": "user", "content": "x"}]
        )
    assert error.value.code == "model_not_found"
    assert "'tiny-chat'" in error.value.message


def test_models_list_auto_and_the_backends_own(client: OpenAI) -> None:
    assert {"auto", "tiny-chat", "lair/recall"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("lair/recall").id == "lair/recall"
