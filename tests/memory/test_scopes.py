"""Nobody changes what is another's: every RPC that changes anything is tried on it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message as Wire

from lair.memory.v1 import conversation_service_pb2 as conversation
from lair.memory.v1 import memory_service_pb2 as memory
from lair.memory.v1 import recall_service_pb2 as recall
from tests.memory.chats import Memories, WordEmbedder, a_turn, assistant, running, user

SERVICES = {
    "conversations": conversation.DESCRIPTOR.services_by_name["ConversationService"],
    "recall": recall.DESCRIPTOR.services_by_name["RecallService"],
    "keeping": memory.DESCRIPTOR.services_by_name["MemoryService"],
}
EVE = {"user_id": "eve"}


def deeds(number: int) -> Mapping[str, list[Wire]]:
    """Return what eve tries on ann's conversation `c`, her request `r` and her message."""
    named = {**EVE, "conversation_id": "c"}
    forgotten: list[dict[str, Any]] = [
        {"messages": memory.MessageIds(ids=[number])},
        {"conversation_id": "c"},
        {"project": "p"},
        {"topic": "zebra"},
        {"everything": True},
    ]
    return {
        "CreateConversation": [conversation.CreateConversationRequest(**EVE, id="c", title="x")],
        "AppendTurns": [
            conversation.AppendTurnsRequest(
                turns=[a_turn("r", "c", [user("mine")], reply=assistant("mine too"), **EVE)]
            )
        ],
        "UpdateConversation": [conversation.UpdateConversationRequest(**named, title="mine")],
        "UpdateTurn": [conversation.UpdateTurnRequest(**EVE, request_id="r", record_json=b"{}")],
        "DeleteTurn": [conversation.DeleteTurnRequest(**EVE, request_id="r")],
        "DeleteMessage": [conversation.DeleteMessageRequest(**named, message_id=number)],
        "DeleteConversation": [conversation.DeleteConversationRequest(**named)],
        "Remember": [memory.RememberRequest(**EVE, text="mine", project="p", pinned=True)],
        "PinMessage": [
            memory.PinMessageRequest(**EVE, message_id=number, unpin=unpin)
            for unpin in (True, False)
        ],
        "CorrectMessage": [memory.CorrectMessageRequest(**EVE, message_id=number, text="no")],
        "Forget": [memory.ForgetRequest(**EVE, **target) for target in forgotten],
    }


def changing() -> dict[str, str]:
    """Return the names of all RPCs that may change something, and their services."""
    return {
        method.name: service
        for service, descriptor in SERVICES.items()
        for method in descriptor.methods
        if method.GetOptions().idempotency_level != MethodOptions.NO_SIDE_EFFECTS
    }


async def all_of_ann(memories: Memories) -> list[Any]:
    """Return everything that ann can see."""
    ann = {"user_id": "ann"}
    asked = conversation.GetConversationRequest(**ann, conversation_id="c")
    stub = memories.conversations
    return [
        await stub.GetConversation(asked, timeout=10),
        await memories.messages("c", **ann),
        await stub.GetTurn(conversation.GetTurnRequest(**ann, request_id="r"), timeout=10),
        await memories.notes(**ann),
        await memories.found("zebra", **ann),
        (await memories.recalled("the zebra?", project="p", **ann)).passages,
        await stub.GetStats(conversation.GetStatsRequest(**ann), timeout=10),
    ]


@pytest.mark.parametrize("rpc", sorted(changing()))
async def test_nothing_of_another_user_is_changed(tmp_path: Path, rpc: str):
    async with running(tmp_path, WordEmbedder()) as memories:
        told = a_turn("r", "c", [user("my zebra")], reply=assistant("which zebra?"), user_id="ann")
        told.caller.project = "p"
        await memories.append(told)
        await memories.remember("zebras are nice", user_id="ann", project="p", pinned=True)
        [message, *_] = await memories.messages("c", user_id="ann")
        await memories.indexed()
        before = await all_of_ann(memories)
        call = getattr(getattr(memories, changing()[rpc]), rpc)
        for request in deeds(message.id)[rpc]:
            codes = {grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND}
            assert await call(request, timeout=10).code() in codes
            assert await all_of_ann(memories) == before
