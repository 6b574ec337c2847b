"""Responses by the official client, a genuine LLM behind, and their state in real memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from tests.compat import document
from tests.e2e.stack import Lair, request

QUESTION = "What is my favourite colour?"
FACT = "My favourite colour is teal."
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "d",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
    "strict": False,
}


@pytest.fixture
def client(lair: Lair) -> Iterator[OpenAI]:
    with OpenAI(
        base_url=f"{lair.url}/v1", api_key="none", max_retries=0, _strict_response_validation=True
    ) as opened:
        yield opened


def ask(client: OpenAI, text: Any, **options: Any) -> Any:
    return client.responses.create(model="auto", temperature=0, input=text, **options)


def test_the_helpers_final_text_is_its_deltas_and_all_events_are_valid(client: OpenAI) -> None:
    with client.responses.stream(model="auto", temperature=0, input="Count to 12") as stream:
        events = list(stream)
        final = stream.get_final_response()
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == final.output_text == "1 2 3 4 5 6 7 8 9 10 11 12"
    assert final.usage is not None
    assert final.usage.output_tokens > 10
    raw = client.responses.create(model="auto", temperature=0, input="Say hello", stream=True)
    for event in raw:
        shown = event.to_dict(mode="json", exclude_unset=True)
        assert document.judge()("ResponseStreamEvent", shown) == []


def test_a_response_goes_on_by_its_id_and_only_then(client: OpenAI) -> None:
    first = ask(client, FACT)
    assert "teal" in ask(client, QUESTION, previous_response_id=first.id).output_text
    assert "do not know" in ask(client, QUESTION).output_text


def test_a_conversation_remembers(client: OpenAI) -> None:
    conversation = client.conversations.create(items=[{"role": "user", "content": FACT}])
    answer = ask(client, QUESTION, conversation=conversation.id)
    assert "teal" in answer.output_text
    items = client.conversations.items.list(conversation.id, order="asc").data
    assert [item.role for item in items if item.type == "message"] == [
        *("user", "user", "assistant"),
    ]
    assert items[-1].id == answer.output[-1].id
    client.conversations.items.delete(items[0].id, conversation_id=conversation.id)
    assert len(client.conversations.items.list(conversation.id).data) == 2
    client.conversations.delete(conversation.id)
    with pytest.raises(NotFoundError):
        client.conversations.retrieve(conversation.id)


def test_a_response_is_kept_as_it_was_created(lair: Lair, client: OpenAI) -> None:
    body = {
        "model": "auto",
        "temperature": 0,
        "input": [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
        "instructions": "Be brief.",
        "metadata": {"a": "b"},
        "tools": [WEATHER, {"type": "web_search"}],
    }
    status, created = request("POST", f"{lair.url}/v1/responses", body)
    assert (status, document.judge()("Response", created)) == (200, [])
    kept = lair.get(f"/v1/responses/{created['id']}")
    vendor = created.keys() - kept.keys()  # the backend's own fields
    assert kept == {name: value for name, value in created.items() if name not in vendor}
    items = client.responses.input_items.list(created["id"], order="asc").data
    assert [(item.role, item.content[0].text) for item in items] == [
        ("developer", "Be kind."),
        ("user", "Hi"),
    ]
    client.responses.delete(created["id"])
    with pytest.raises(NotFoundError):
        client.responses.retrieve(created["id"])


def test_what_is_not_stored_leaves_nothing(lair: Lair, client: OpenAI) -> None:
    before = lair.get("/memory/conversations")["total_count"]
    answer = ask(client, FACT, store=False)
    with pytest.raises(NotFoundError):
        client.responses.retrieve(answer.id)
    with pytest.raises(BadRequestError, match="not found"):
        ask(client, QUESTION, previous_response_id=answer.id)
    assert lair.get("/memory/conversations")["total_count"] == before


def test_tools_are_called_and_their_results_read(client: OpenAI) -> None:
    question = "What is the weather in Oslo and Cairo?"
    first = ask(client, question, tools=[WEATHER, {"type": "web_search"}], max_output_tokens=80)
    calls = [item for item in first.output if item.type == "function_call"]
    assert [call.arguments for call in calls] == ['{"city": "Oslo"}', '{"city": "Cairo"}']
    results = [
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        for call in calls
    ]
    second = ask(client, results, previous_response_id=first.id, tools=[WEATHER])
    assert "sunny" in second.output_text


def test_instructions_do_not_come_back(client: OpenAI) -> None:
    first = ask(client, "Count to 3", instructions=FACT)
    assert first.output_text == "1 2 3"
    without = ask(client, QUESTION, previous_response_id=first.id)
    assert "teal" not in without.output_text
    again = ask(client, QUESTION, previous_response_id=first.id, instructions=FACT)
    assert "teal" in again.output_text


def test_tokens_are_counted(client: OpenAI) -> None:
    first = ask(client, FACT)
    alone = client.responses.input_tokens.count(model="auto", input=QUESTION)
    behind = client.responses.input_tokens.count(
        model="auto", input=QUESTION, previous_response_id=first.id
    )
    assert 0 < alone.input_tokens < behind.input_tokens
