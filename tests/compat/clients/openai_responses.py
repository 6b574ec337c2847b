"""openai-python on responses, conversations and stored completions, validated strictly."""

from __future__ import annotations

import json
import time

import openai
from cases import BASE_URL, CHAT, KEY, SCRIPTED, SCRIPTED_BACKEND, WEATHER, case, main, raised, user
from pydantic import BaseModel

client = openai.OpenAI(
    base_url=BASE_URL, api_key=KEY, max_retries=0, _strict_response_validation=True
)
# Its types know stored input as answers only, and OpenAI's own example has a user's.
lax = openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0)
HELLO = "Hello from the tiny model."
QUESTION = "What is my favourite colour?"
WEATHER_TOOL = {"type": "function", "strict": False, **WEATHER}


class Person(BaseModel):
    """What the tiny model answers where JSON is wanted."""

    name: str
    age: int


def ask(text, **options):
    """Ask the tiny model."""
    return client.responses.create(model=CHAT, input=text, temperature=0, **options)


def eventually(call, kind=openai.NotFoundError):
    """Call until it works: what was said is kept some milliseconds after it was said."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return call()
        except kind:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@case("a response")
def whole():
    answer = ask("Say hello")
    assert answer.output_text == HELLO
    assert answer.status == "completed"
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


@case(".stream()")
def stream():
    with client.responses.stream(model=CHAT, input="Count to 7", temperature=0) as events:
        texts = [event.delta for event in events if event.type == "response.output_text.delta"]
        final = events.get_final_response()
    assert "".join(texts) == final.output_text == "1 2 3 4 5 6 7"
    assert len(texts) > 1


@case("instructions and a limit")
def options():
    answer = ask("Count to 9", max_output_tokens=3, instructions="Be brief.")
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")


@case("tools, and their results")
def tools():
    asked = [user("What is the weather in Rome?")]
    answer = ask(asked, tools=[WEATHER_TOOL])
    call = next(item for item in answer.output if item.type == "function_call")
    assert json.loads(call.arguments) == {"city": "Rome"}
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rainy"}
    told = ask([*asked, *answer.output, result], tools=[WEATHER_TOOL])
    assert told.output_text == "It is rainy in Rome."


@case("two tool calls at once, by .stream()")
def streamed_tools():
    text = "What is the weather in Oslo and Cairo?"
    with client.responses.stream(
        model=CHAT, input=text, temperature=0, tools=[WEATHER_TOOL]
    ) as events:
        final = events.get_final_response()
    calls = [item for item in final.output if item.type == "function_call"]
    assert [json.loads(call.arguments)["city"] for call in calls] == ["Oslo", "Cairo"]


@case("parse() into a type")
def parse():
    answer = client.responses.parse(
        model=CHAT, input="Reply in JSON", temperature=0, text_format=Person
    )
    assert answer.output_parsed == Person(name="Ada", age=36)


@case("reasoning", SCRIPTED_BACKEND)
def reasoning():
    with client.responses.stream(model=SCRIPTED, input="Think!") as events:
        final = events.get_final_response()
    assert [item.type for item in final.output] == ["reasoning", "message"]


@case("previous_response_id")
def previous():
    first = ask("My favourite colour is teal.")
    second = ask(QUESTION, previous_response_id=first.id)
    assert "teal" in second.output_text
    assert second.previous_response_id == first.id
    assert ask(QUESTION).output_text == "I do not know."


@case("get, input items, delete")
def stored():
    answer = ask("Say hello")
    kept = eventually(lambda: client.responses.retrieve(answer.id))
    assert kept.output_text == HELLO
    items = client.responses.input_items.list(answer.id).data
    assert [item.content[0].text for item in items] == ["Say hello"]
    client.responses.delete(answer.id)
    assert raised(openai.NotFoundError, lambda: client.responses.retrieve(answer.id))


@case("store: false keeps nothing")
def not_stored():
    answer = ask("Say hello", store=False)
    time.sleep(0.5)
    assert raised(openai.NotFoundError, lambda: client.responses.retrieve(answer.id))


@case("conversations and their items")
def conversations():
    made = client.conversations.create(metadata={"topic": "colours"})
    ask("My favourite colour is teal.", conversation=made.id)
    assert "teal" in ask(QUESTION, conversation={"id": made.id}).output_text
    assert client.conversations.retrieve(made.id).metadata == {"topic": "colours"}
    changed = client.conversations.update(made.id, metadata={"topic": "paint"})
    assert changed.metadata == {"topic": "paint"}
    added = client.conversations.items.create(made.id, items=[user("And gold.")])
    assert [item.content[0].text for item in added.data] == ["And gold."]
    texts = [item.content[0].text for item in client.conversations.items.list(made.id, limit=2)]
    assert len(texts) == 5
    assert "My favourite colour is teal." in texts
    item = client.conversations.items.retrieve(added.data[0].id, conversation_id=made.id)
    assert item.content[0].text == "And gold."
    client.conversations.items.delete(item.id, conversation_id=made.id)
    assert client.conversations.delete(made.id).deleted
    assert raised(openai.NotFoundError, lambda: client.conversations.retrieve(made.id))


@case("input_tokens")
def input_tokens():
    assert client.responses.input_tokens.count(model=CHAT, input="Say hello").input_tokens > 2


@case("stored completions: list, get, change, messages, delete")
def stored_completions():
    stored = client.chat.completions
    answer = stored.create(
        model=CHAT, messages=[user("Say hello")], temperature=0, store=True, metadata={"a": "b"}
    )
    kept = eventually(lambda: stored.retrieve(answer.id))
    assert kept.choices[0].message.content == HELLO
    assert answer.id in [each.id for each in stored.list(metadata={"a": "b"})]
    assert stored.update(answer.id, metadata={"a": "c"}).metadata == {"a": "c"}
    given = lax.chat.completions.messages.list(answer.id)
    assert [(each.role, each.content) for each in given] == [("user", "Say hello")]
    assert stored.delete(answer.id).deleted
    assert raised(openai.NotFoundError, lambda: stored.retrieve(answer.id))


@case("errors as its own exceptions")
def errors():
    attempts = [
        (openai.NotFoundError, {"model": "nobody/has-this"}),
        (openai.BadRequestError, {"previous_response_id": "resp_nobody"}),
        (openai.BadRequestError, {"temperature": "hot"}),
        (openai.BadRequestError, {"input": 7}),
    ]
    for kind, changed in attempts:
        body = {"model": CHAT, "input": "Hi", **changed}
        error = raised(kind, lambda body=body: client.responses.create(**body))
        assert error.message


if __name__ == "__main__":
    main()
