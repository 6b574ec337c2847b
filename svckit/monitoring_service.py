"""MonitoringService, which every server of lair offers: what its process counts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from lair.common.v1 import monitoring_service_pb2 as pb
from lair.common.v1.monitoring_service_pb2_grpc import (
    MonitoringServiceServicer,
    add_MonitoringServiceServicer_to_server,
)
from svckit.errors import ServiceError
from svckit.exposition import PROCESS_ID, exposition
from svckit.logging import get_logger

log = get_logger(__name__)

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["MonitoringService"]


class MonitoringService(MonitoringServiceServicer):
    """Tells the figures; `refresh` brings those up to date that are not counted as they happen."""

    def __init__(self, refresh: Callable[[], Awaitable[None]]) -> None:
        self._refresh = refresh

    async def GetExposition(
        self, request: pb.GetExpositionRequest, _: Any
    ) -> pb.GetExpositionResponse:
        """Tell the figures of this process."""
        try:
            await self._refresh()
        except ServiceError as error:
            log.warning("some figures are not up to date", error=error.message)
        text = b"" if request.process_id == PROCESS_ID else exposition()
        return pb.GetExpositionResponse(process_id=PROCESS_ID, text=text)


def monitoring(refresh: Callable[[], Awaitable[None]]) -> Callable[[Any], None]:
    """Return what registers the service with a server."""
    return partial(add_MonitoringServiceServicer_to_server, MonitoringService(refresh))
