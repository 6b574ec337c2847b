"""A genuine llama.cpp server is recognised, and its ways come out clean."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lair.common.v1.chat_pb2 import ContentPart, ContentParts, ImageUrl, Message
from lair.router.v1.chat_pb2 import ChatCall
from router_svc.backends.flavours import Flavour
from router_svc.backends.openai import OpenAIBackend
from router_svc.model import Capabilities, State, UpstreamError
from svckit import settings
from tests.e2e.stack import llama_server

COUNT = ChatCall(
    messages=[Message(role="user", text="Count to 3")], n=2, max_tokens=4, temperature=0
)


@pytest.fixture
async def backend() -> AsyncIterator[OpenAIBackend]:
    """Give the backend of a server with two slots of 1,024 tokens."""
    with llama_server() as url:
        made = OpenAIBackend(settings.Backend(name="a", url=url))
        yield made
        await made.close()


async def test_llamacpp_as_it_is(backend: OpenAIBackend) -> None:
    snapshot = await backend.probe()
    assert (snapshot.state, backend.flavour) == (State.UP, Flavour.LLAMACPP)
    [model] = snapshot.models
    assert (model.context_length, model.slots, model.loaded) == (1024, 2, True)
    assert model.capabilities == Capabilities(tools=True, vision=False, json_schema=True)

    streamed = [event async for events in backend.stream(COUNT, model.id) for event in events]
    whole = await backend.chat(COUNT, model.id)
    assert [choice.index for choice in whole.choices] == [0, 1]
    for usage in (streamed[-1].completed.usage, whole.usage):
        assert usage.completion_tokens == 8
        assert usage.total_tokens == usage.prompt_tokens + 8

    image = ContentPart(type="image_url", image_url=ImageUrl(url="data:image/png;base64,AA=="))
    seen = Message(role="user", parts=ContentParts(parts=[image]))
    with pytest.raises(UpstreamError, match="image input is not supported") as caught:
        await backend.chat(ChatCall(messages=[seen]), model.id)
    assert (caught.value.reason, caught.value.status) == ("UPSTREAM_REJECTED", 500)
