"""anthropic-python, with its strict response validation: messages, streams, tools, counting."""

from __future__ import annotations

import anthropic
from cases import (
    CHAT,
    KEY,
    SCRIPTED,
    SCRIPTED_BACKEND,
    URL,
    WEATHER,
    case,
    main,
    raised,
    user,
)

client = anthropic.Anthropic(
    base_url=URL, api_key=KEY, max_retries=0, _strict_response_validation=True
)
HELLO = "Hello from the tiny model."
WEATHER_TOOL = {"name": WEATHER["name"], "description": "d", "input_schema": WEATHER["parameters"]}
# Its own parameters have no temperature any more; without one llama.cpp takes 0.8.
COMMON = {"model": CHAT, "max_tokens": 60, "extra_body": {"temperature": 0}}


def ask(text, **options):
    """Ask the tiny model."""
    return client.messages.create(messages=[user(text)], **{**COMMON, **options})


@case("a message")
def whole():
    answer = ask("Say hello")
    assert answer.content[0].text == HELLO
    assert answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens > 0
    assert answer._request_id


@case("messages.stream()")
def stream():
    with client.messages.stream(messages=[user("Count to 7")], **COMMON) as events:
        text = "".join(events.text_stream)
        final = events.get_final_message()
    assert text == final.content[0].text == "1 2 3 4 5 6 7"
    assert final.usage.output_tokens > 6


@case("async")
async def several():
    async with (
        anthropic.AsyncAnthropic(base_url=URL, api_key=KEY) as many,
        many.messages.stream(messages=[user("Count to 7")], **COMMON) as events,
    ):
        text = "".join([piece async for piece in events.text_stream])
    assert text == "1 2 3 4 5 6 7"


@case("system, as text and as blocks")
def system():
    told = "The user's favourite colour is teal."
    for form in (told, [{"type": "text", "text": told}]):
        answer = ask("What is my favourite colour?", system=form)
        assert answer.content[0].text == "Your favourite colour is teal."


@case("max_tokens and stop_sequences")
def limits():
    assert ask("Count to 9", max_tokens=3).stop_reason == "max_tokens"
    assert ask("Count to 9", stop_sequences=["5"]).content[0].text.strip() == "1 2 3 4"


@case("two tool calls at once, and a result")
def tools():
    answer = ask("What is the weather in Oslo and Cairo?", tools=[WEATHER_TOOL])
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert [call.input for call in calls] == [{"city": "Oslo"}, {"city": "Cairo"}]
    assert answer.stop_reason == "tool_use"
    question = user("What is the weather in Rome?")
    answer = client.messages.create(messages=[question], tools=[WEATHER_TOOL], **COMMON)
    result = {"type": "tool_result", "tool_use_id": answer.content[-1].id, "content": "rainy"}
    told = client.messages.create(
        messages=[
            question,
            {"role": "assistant", "content": answer.content},
            {"role": "user", "content": [result]},
        ],
        tools=[WEATHER_TOOL],
        **COMMON,
    )
    assert told.content[0].text == "It is rainy in Rome."


@case("tool calls by messages.stream()")
def streamed_tools():
    messages = [user("What is the weather in Oslo and Cairo?")]
    with client.messages.stream(messages=messages, tools=[WEATHER_TOOL], **COMMON) as events:
        final = events.get_final_message()
    calls = [block.input for block in final.content if block.type == "tool_use"]
    assert calls == [{"city": "Oslo"}, {"city": "Cairo"}]


@case("thinking", SCRIPTED_BACKEND)
def thinking():
    thought = {"type": "enabled", "budget_tokens": 1024}
    options = {"model": SCRIPTED, "max_tokens": 2048, "thinking": thought}
    with client.messages.stream(messages=[user("Think!")], **options) as events:
        final = events.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text"]


@case("images, and a named tool", SCRIPTED_BACKEND)
def images():
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    parts = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    seen = client.messages.create(
        model=SCRIPTED, max_tokens=60, messages=[{"role": "user", "content": parts}]
    )
    assert seen.content[0].text == "I see 1 images."
    forced = client.messages.create(
        model=SCRIPTED,
        max_tokens=60,
        messages=[user("Hello in Oslo")],
        tools=[WEATHER_TOOL],
        tool_choice={"type": "tool", "name": "get_weather"},
    )
    assert forced.content[-1].input == {"city": "Oslo"}


@case("count_tokens")
def count_tokens():
    counted = client.messages.count_tokens(model=CHAT, messages=[user("Say hello")])
    usage = ask("Say hello").usage
    # What the server had kept of an earlier prompt, they count apart.
    assert counted.input_tokens == usage.input_tokens + (usage.cache_read_input_tokens or 0)


@case("errors as its own exceptions")
def errors():
    missing = raised(anthropic.NotFoundError, lambda: ask("Hi", model="nobody/has-this"))
    assert missing.body["error"]["type"] == "not_found_error"
    assert raised(
        anthropic.BadRequestError, lambda: ask("Hi", extra_body={"temperature": "hot"})
    ).request_id


if __name__ == "__main__":
    main()
