"""The `langchain-tests` standard suites, through langchain-openai: once on the tiny model, once
on the scripted one, which calls tools and fills schemas.

Run by pytest in the client's own environment; `suite_report` tells how each test went.
"""

from __future__ import annotations

import pytest
from cases import BASE_URL, CHAT, KEY, ODD, SCRIPTED, VECTORS
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import (
    ChatModelIntegrationTests,
    EmbeddingsIntegrationTests,
)

# It calls `get_weather` as it was trained to, and no tool that it never saw.
_BEYOND_THE_TINY_MODEL = {
    "test_agent_loop",
    "test_bind_runnables_as_tools",
    "test_tool_calling",
    "test_tool_calling_async",
    "test_tool_calling_with_no_arguments",
    "test_tool_choice",
    "test_unicode_tool_call_integration",
}
# Their usage comes with streams only where it is asked for at addresses not OpenAI's own.
_COMMON = {"base_url": BASE_URL, "api_key": KEY, "temperature": 0, "stream_usage": True}


class TestGenuine(ChatModelIntegrationTests):
    """What a model of 0.8M parameters can: all but tools and schemas it never saw."""

    @pytest.fixture(autouse=True)
    def _within_its_powers(self, request):
        if request.node.originalname in _BEYOND_THE_TINY_MODEL:
            pytest.skip("the tiny model cannot do this")

    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        return {**_COMMON, "model": CHAT, "max_tokens": 60}

    @property
    def has_structured_output(self):
        return False

    @property
    def model_override_value(self):
        return CHAT.rpartition("/")[2]


class TestScripted(ChatModelIntegrationTests):
    """All but what the suite fetches from the network: images, documents and sounds."""

    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        return {**_COMMON, "model": SCRIPTED}

    @property
    def supports_json_mode(self):
        return False

    @property
    def model_override_value(self):
        return ODD.partition("/")[2]


class TestVectors(EmbeddingsIntegrationTests):
    """Vectors by genuine llama.cpp; without the tokens that tiktoken would fetch a table for."""

    @property
    def embeddings_class(self):
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self):
        return {
            "base_url": BASE_URL,
            "api_key": KEY,
            "model": VECTORS,
            "check_embedding_ctx_length": False,
        }
