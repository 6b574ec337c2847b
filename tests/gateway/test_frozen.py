"""A service that is frozen holds a request no longer than its deadline."""

from __future__ import annotations

import asyncio

import pytest

from gateway.clients import ask
from lair.memory.v1.conversation_service_pb2 import GetConversationRequest
from lair.memory.v1.conversation_service_pb2_grpc import ConversationServiceStub
from svckit.errors import ServiceError
from tests.fakes.frozen_service import MORE_THAN_A_SOCKET_HOLDS, frozen_service


async def test_a_question_too_large_for_its_socket_is_late_as_any_other() -> None:
    question = GetConversationRequest(conversation_id="x" * MORE_THAN_A_SOCKET_HOLDS)
    async with frozen_service() as memory, asyncio.timeout(10):
        method = ConversationServiceStub(memory).GetConversation
        with pytest.raises(ServiceError) as raised:
            await ask("memory", method, question, request_id="r", seconds=0.3)
    assert raised.value.meaning.http == 504
