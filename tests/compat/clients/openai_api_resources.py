"""What openai-python's own generated tests send: every parameter there is, at odd values.

Calls with every parameter are made four times, as they do: by the synchronous and the
asynchronous client, with and without strict validation of the reply.
"""

from __future__ import annotations

import openai
from cases import BASE_URL, CHAT, KEY, VECTORS, case, main, raised

MESSAGES = [{"role": "developer", "content": "string", "name": "name"}]
FUNCTION = {"name": "name", "description": "description", "parameters": {"foo": "bar"}}
CHAT_PARAMETERS = {
    "model": CHAT,
    "messages": MESSAGES,
    "audio": {"format": "wav", "voice": "alloy"},
    "frequency_penalty": -2,
    "function_call": "none",
    "functions": [FUNCTION],
    "logit_bias": {"foo": 0},
    "logprobs": True,
    "max_completion_tokens": 0,
    "max_tokens": 0,
    "metadata": {"foo": "string"},
    "modalities": ["text"],
    "n": 1,
    "parallel_tool_calls": True,
    "prediction": {"type": "content", "content": "string"},
    "presence_penalty": -2,
    "prompt_cache_key": "prompt-cache-key-1234",
    "reasoning_effort": "none",
    "response_format": {"type": "text"},
    "safety_identifier": "safety-identifier-1234",
    "seed": -9007199254740991,
    "service_tier": "auto",
    "stop": "\n",
    "store": True,
    "temperature": 1,
    "tool_choice": "none",
    "tools": [{"type": "function", "function": {**FUNCTION, "strict": True}}] * 3,
    "top_logprobs": 0,
    "top_p": 1,
    "user": "user-1234",
    "verbosity": "low",
    "web_search_options": {"search_context_size": "low"},
}
OPTIONS = {"stream_options": {"include_usage": True, "include_obfuscation": True}}
TEXT_PARAMETERS = {
    "model": CHAT,
    "prompt": "This is a test.",
    "best_of": 1,
    "echo": False,
    "frequency_penalty": -2,
    "logit_bias": {"foo": 0},
    "logprobs": 0,
    "max_tokens": 0,
    "n": 1,
    "presence_penalty": -2,
    "seed": 0,
    "stop": "\n",
    "temperature": 1,
    "top_p": 1,
    "user": "user-1234",
}
RESPONSE_PARAMETERS = {
    "model": CHAT,
    "input": "string",
    "background": False,
    "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
    "instructions": "instructions",
    "max_output_tokens": 16,
    "max_tool_calls": 0,
    "metadata": {"foo": "string"},
    "parallel_tool_calls": True,
    "prompt_cache_key": "prompt-cache-key-1234",
    "reasoning": {"effort": "none", "summary": "auto"},
    "safety_identifier": "safety-identifier-1234",
    "service_tier": "auto",
    "store": True,
    "temperature": 1,
    "text": {"format": {"type": "text"}, "verbosity": "low"},
    "tool_choice": "none",
    "tools": [
        {"type": "function", "name": "name", "parameters": {"foo": "bar"}, "strict": True},
        {"type": "web_search"},
    ],
    "top_logprobs": 0,
    "top_p": 1,
    "truncation": "auto",
    "user": "user-1234",
}


async def each_way(call):
    """Make a call by each kind of client; `call` is given one, and the strictness."""
    options = {"base_url": BASE_URL, "api_key": KEY, "max_retries": 0}
    for strict in (False, True):
        with openai.OpenAI(**options, _strict_response_validation=strict) as client:
            call(client)
        async with openai.AsyncOpenAI(**options, _strict_response_validation=strict) as client:
            await call(client)


def chat(**more):
    """Return a call for a chat."""
    return lambda client: client.chat.completions.create(**{**CHAT_PARAMETERS, **more})


@case("chat, every parameter, stream: false with stream_options")
async def whole_chat():
    await each_way(chat(stream=False, **OPTIONS))


@case("chat, every parameter, streamed")
async def streamed_chat():
    def stream(client):
        opened = chat(stream=True, **OPTIONS)(client)
        return opened.response.close() if isinstance(client, openai.OpenAI) else closed(opened)

    async def closed(opened):
        await (await opened).response.aclose()

    await each_way(stream)


@case("completions, every parameter")
async def texts():
    await each_way(
        lambda client: client.completions.create(**TEXT_PARAMETERS, stream=False, **OPTIONS)
    )


@case("responses, every parameter")
async def responses():
    await each_way(lambda client: client.responses.create(**RESPONSE_PARAMETERS))


@case("responses, without anything to answer")
async def no_input():
    with openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0) as client:
        error = raised(openai.BadRequestError, lambda: client.responses.create(model=CHAT))
    assert error.param == "input"


@case("embeddings, every parameter")
async def vectors():
    await each_way(
        lambda client: client.embeddings.create(
            model=VECTORS, input="The quick brown fox", encoding_format="float", user="user-1234"
        )
    )


@case("raw and streaming responses")
async def raw():
    with openai.OpenAI(base_url=BASE_URL, api_key=KEY) as client:
        plain = {"model": CHAT, "messages": MESSAGES, "max_tokens": 8}
        response = client.chat.completions.with_raw_response.create(**plain)
        assert response.headers["x-request-id"] == response.parse()._request_id
        with client.chat.completions.with_streaming_response.create(**plain) as streaming:
            assert streaming.parse().id
        assert streaming.is_closed


@case("ids that nobody has")
async def unknown_ids():
    with openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0) as client:
        for call in (
            lambda: client.chat.completions.retrieve("completion_id"),
            lambda: client.chat.completions.update("completion_id", metadata={"foo": "string"}),
            lambda: client.chat.completions.delete("completion_id"),
            lambda: client.chat.completions.messages.list("completion_id"),
            lambda: client.responses.retrieve("resp_677efb5139a88190b512bc3fef8e535d"),
            lambda: client.responses.input_items.list("response_id"),
            lambda: client.responses.cancel("resp_677efb5139a88190b512bc3fef8e535d"),
            lambda: client.conversations.retrieve("conv_123"),
            lambda: client.conversations.items.list("conv_123"),
            lambda: client.models.retrieve("gpt-nobody/has:this"),
        ):
            assert raised(openai.NotFoundError, call).message


if __name__ == "__main__":
    main()
