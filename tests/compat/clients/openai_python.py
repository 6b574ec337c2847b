"""openai-python, with its strict response validation: all of chats, texts, vectors, models."""

from __future__ import annotations

import asyncio
import json

import openai
from cases import (
    BASE_URL,
    BUSY,
    CHAT,
    KEY,
    ODD,
    SCRIPTED,
    SCRIPTED_BACKEND,
    VECTORS,
    WEATHER_TOOL,
    case,
    main,
    raised,
    user,
)
from pydantic import BaseModel

client = openai.OpenAI(
    base_url=BASE_URL, api_key=KEY, max_retries=0, _strict_response_validation=True
)
# Its types know no vectors in base64, which it asks for itself, and no chunk of a text
# whose `finish_reason` is null, which OpenAI's own are.
lax = openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0)
HELLO = "Hello from the tiny model."
COUNT = "1 2 3 4 5 6 7"
TWO_CITIES = [user("What is the weather in Oslo and Cairo?")]
USAGE = {"include_usage": True}


class Person(BaseModel):
    """What the tiny model answers where JSON is wanted."""

    name: str
    age: int


def ask(text, **options):
    """Ask the tiny model."""
    return client.chat.completions.create(
        model=CHAT, messages=[user(text)], temperature=0, **options
    )


@case("chat")
def chat():
    answer = ask("Say hello")
    assert answer.choices[0].message.content == HELLO
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id


@case("stream")
def stream():
    chunks = list(ask("Count to 7", stream=True, stream_options=USAGE))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == COUNT
    assert chunks[-1].usage.completion_tokens > 6


@case("async, several at once")
async def several():
    options = {"base_url": BASE_URL, "api_key": KEY, "_strict_response_validation": True}
    async with openai.AsyncOpenAI(**options) as many:

        async def one(number):
            opened = await many.chat.completions.create(
                model=CHAT, messages=[user(f"Count to {number}")], temperature=0, stream=True
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in opened])

        answers = await asyncio.gather(*(one(number) for number in range(3, 8)))
    assert answers == [" ".join(map(str, range(1, number + 1))) for number in range(3, 8)]


@case(".stream() with n=2 and usage")
def stream_helper():
    alone = ask("Count to 7").usage.completion_tokens
    with client.chat.completions.stream(
        model=CHAT, messages=[user("Count to 7")], temperature=0, n=2, stream_options=USAGE
    ) as events:
        final = events.get_final_completion()
    assert [choice.message.content for choice in final.choices] == [COUNT, COUNT]
    assert [choice.message.role for choice in final.choices] == ["assistant", "assistant"]
    assert final.usage.completion_tokens == 2 * alone


@case("n=2")
def two_answers():
    answer = ask("Say hello", n=2)
    assert [choice.message.content for choice in answer.choices] == [HELLO, HELLO]


@case("parse() into a type")
def parse():
    answer = client.chat.completions.parse(
        model=CHAT, messages=[user("Reply in JSON")], temperature=0, response_format=Person
    )
    assert answer.choices[0].message.parsed == Person(name="Ada", age=36)


@case(".stream() into a type")
def stream_into_a_type():
    with client.chat.completions.stream(
        model=CHAT, messages=[user("Reply in JSON")], temperature=0, response_format=Person
    ) as events:
        final = events.get_final_completion()
    assert final.choices[0].message.parsed == Person(name="Ada", age=36)


@case("two tool calls at once")
def tools():
    message = ask(TWO_CITIES[0]["content"], tools=[WEATHER_TOOL]).choices[0].message
    cities = [json.loads(call.function.arguments)["city"] for call in message.tool_calls]
    assert cities == ["Oslo", "Cairo"]


@case("two tool calls at once, by .stream()")
def streamed_tools():
    with client.chat.completions.stream(
        model=CHAT, messages=TWO_CITIES, temperature=0, tools=[WEATHER_TOOL]
    ) as events:
        choice = events.get_final_completion().choices[0]
    calls = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls"
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Oslo", "Cairo"]
    assert len({call.id for call in calls}) == 2
    assert [call.index for call in calls] == [0, 1]


@case("tool result")
def tool_result():
    messages = [user("What is the weather in Rome?")]
    options = {"model": CHAT, "temperature": 0, "tools": [WEATHER_TOOL]}
    message = client.chat.completions.create(messages=messages, **options).choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "rainy"}
    answer = client.chat.completions.create(messages=[*messages, message, result], **options)
    assert answer.choices[0].message.content == "It is rainy in Rome."


@case("max_tokens and max_completion_tokens")
def token_limits():
    assert ask("Count to 9", max_tokens=3).choices[0].finish_reason == "length"
    assert ask("Count to 9", max_completion_tokens=3).choices[0].finish_reason == "length"


@case("stop")
def stop():
    assert ask("Count to 9", stop=["5"]).choices[0].message.content.strip() == "1 2 3 4"


@case("logprobs")
def logprobs():
    choice = ask("Say hello", logprobs=True, top_logprobs=2).choices[0]
    assert "".join(each.token for each in choice.logprobs.content) == HELLO
    assert all(len(each.top_logprobs) == 2 for each in choice.logprobs.content)
    chunks = list(ask("Say hello", logprobs=True, stream=True))
    assert any(chunk.choices[0].logprobs for chunk in chunks)


@case("completions")
def completions():
    prompt = "The capital of France is"
    answer = client.completions.create(model=CHAT, prompt=prompt, temperature=0, max_tokens=4)
    chunks = lax.completions.create(
        model=CHAT, prompt=prompt, temperature=0, max_tokens=4, stream=True, stream_options=USAGE
    )
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert answer.choices[0].text == "".join(choice.text for choice in choices)
    assert choices[-1].finish_reason == answer.choices[0].finish_reason


@case("embeddings, base64 and float")
def embeddings():
    texts = ["My favourite colour is teal.", "Count to 12"]
    packed = lax.embeddings.create(model=VECTORS, input=texts)
    plain = client.embeddings.create(model=VECTORS, input=texts, encoding_format="float")
    for left, right in zip(packed.data, plain.data, strict=True):
        assert left.index == right.index
        pairs = zip(left.embedding, right.embedding, strict=True)
        assert max(abs(a - b) for a, b in pairs) < 1e-6


@case("models, also with odd ids", SCRIPTED_BACKEND)
def models():
    listed = [model.id for model in client.models.list()]
    assert CHAT in listed or CHAT.partition("/")[2] in listed, listed
    for name in listed:
        assert client.models.retrieve(name).id == name
    assert client.models.retrieve(ODD).id
    answer = client.chat.completions.create(model=ODD, messages=[user("Hi")])
    assert answer.choices[0].message.content


@case("images and unicode", SCRIPTED_BACKEND)
def images():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    parts = [{"type": "text", "text": "Was ist das? 你好 🦙"}, picture]
    answer = client.chat.completions.create(
        model=SCRIPTED, messages=[{"role": "user", "content": parts}]
    )
    assert answer.choices[0].message.content == "I see 1 images."


@case("reasoning", SCRIPTED_BACKEND)
def reasoning():
    answer = client.chat.completions.create(model=SCRIPTED, messages=[user("Think!")])
    message = answer.choices[0].message
    assert message.reasoning_content == message.reasoning == "I should think about this."


@case("a conversation by X-Conversation-ID")
def conversation():
    headers = {"X-Conversation-ID": "compat-openai-python"}
    ask("My favourite colour is teal.", extra_headers=headers)
    question = "What is my favourite colour?"
    assert "teal" in ask(question, extra_headers=headers).choices[0].message.content
    assert ask(question).choices[0].message.content == "I do not know."


@case("errors as its own exceptions")
def errors():
    attempts = [
        (openai.NotFoundError, "model_not_found", {"model": "nobody/has-this"}),
        (openai.BadRequestError, None, {"temperature": "hot"}),
        (openai.BadRequestError, None, {"messages": "Hi"}),
        (openai.BadRequestError, "context_length_exceeded", {"messages": [user("why " * 3000)]}),
    ]
    for kind, code, changed in attempts:
        body = {"model": CHAT, "messages": [user("Hi")], "max_tokens": 5, **changed}
        error = raised(kind, lambda body=body: client.chat.completions.create(**body))
        assert error.code == code or code is None, (error.code, error.message)
        assert error.request_id
        assert error.message


@case("rate limits, retried", SCRIPTED_BACKEND)
def retries():
    patient = client.with_options(max_retries=1)
    error = raised(
        openai.RateLimitError,
        lambda: patient.chat.completions.create(model=BUSY, messages=[user("Hi")]),
    )
    assert error.response.request.headers["x-stainless-retry-count"] == "1"


if __name__ == "__main__":
    main()
