"""A delivery to a service that is frozen ends with its deadline, to be tried again."""

from __future__ import annotations

import asyncio

import pytest

from lair.common.v1.chat_pb2 import Message
from lair.memory.v1.conversation_pb2 import Turn
from lair.metrics.v1.usage_pb2 import RequestRecord
from router_svc import delivery
from svckit.errors import ServiceError
from tests.fakes.frozen_service import MORE_THAN_A_SOCKET_HOLDS, frozen_service

LONG = "x" * MORE_THAN_A_SOCKET_HOLDS


@pytest.mark.parametrize(
    ("deliverer", "record"),
    [
        (delivery.to_memory, Turn(messages=[Message(role="user", text=LONG)])),
        (delivery.to_metrics, RequestRecord(request_id=LONG)),
    ],
    ids=["memory", "metrics"],
)
async def test_a_frozen_receiver_holds_no_delivery_longer_than_its_deadline(
    monkeypatch: pytest.MonkeyPatch, deliverer, record
) -> None:
    monkeypatch.setattr(delivery, "_DELIVERY_SECONDS", 0.3)
    async with frozen_service() as channel, asyncio.timeout(10):
        with pytest.raises(ServiceError) as raised:
            await deliverer(channel)([record.SerializeToString()])
    assert raised.value.reason == "DEADLINE_EXCEEDED"
