"""litellm as a client: chats, streams, tools and vectors of an OpenAI-compatible address."""

from __future__ import annotations

import json

import litellm
from cases import (
    BASE_URL,
    BUSY,
    CHAT,
    KEY,
    SCRIPTED_BACKEND,
    VECTORS,
    WEATHER_TOOL,
    case,
    main,
    raised,
    user,
)

COMMON = {"api_base": BASE_URL, "api_key": KEY}
MODEL = f"openai/{CHAT}"


def ask(text, **options):
    """Ask the tiny model."""
    return litellm.completion(
        model=MODEL, messages=[user(text)], temperature=0, **COMMON, **options
    )


@case("completion")
def completion():
    answer = ask("Say hello")
    assert answer.choices[0].message.content == "Hello from the tiny model."
    assert answer.usage.completion_tokens > 0


@case("stream")
def stream():
    chunks = list(ask("Count to 6", stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "1 2 3 4 5 6"
    assert litellm.stream_chunk_builder(chunks).usage.completion_tokens > 0


@case("async stream")
async def async_stream():
    opened = await litellm.acompletion(
        model=MODEL, messages=[user("Count to 6")], temperature=0, stream=True, **COMMON
    )
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in opened])
    assert text == "1 2 3 4 5 6"


@case("two tool calls at once")
def tools():
    message = ask("What is the weather in Oslo and Cairo?", tools=[WEATHER_TOOL])
    calls = message.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Oslo", "Cairo"]


@case("embedding")
def embedding():
    answer = litellm.embedding(model=f"openai/{VECTORS}", input=["one", "two"], **COMMON)
    assert [len(each["embedding"]) for each in answer.data] == [128, 128]


@case("responses")
def responses():
    answer = litellm.responses(model=MODEL, input="Say hello", temperature=0, **COMMON)
    assert answer.output[0].content[0].text == "Hello from the tiny model."


@case("errors as its own exceptions", SCRIPTED_BACKEND)
def errors():
    def ask_for(model):
        litellm.completion(
            model=f"openai/{model}", messages=[user("Hi")], num_retries=0, max_retries=0, **COMMON
        )

    assert raised(litellm.NotFoundError, lambda: ask_for("nobody/has-this"))
    assert raised(litellm.RateLimitError, lambda: ask_for(BUSY))


if __name__ == "__main__":
    main()
