"""The devices that backends run on, each with its queue.

Two backends that name one device share one queue: a GPU does not care which of its
servers a request came through.
"""

from __future__ import annotations

from collections.abc import Iterable

from router_svc.backends.base import Backend
from router_svc.model import Snapshot
from router_svc.queue import DeviceQueue, QueueLimits


class Devices:
    """The queues, made when a device is first named."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._queues: dict[str, DeviceQueue] = {}

    def of(self, backend: Backend) -> DeviceQueue:
        """Return the queue a backend's requests wait in."""
        name = device_of(backend)
        if name not in self._queues:
            self._queues[name] = DeviceQueue(name, slots=0, limits=self._limits)
        return self._queues[name]

    def resize(self, backends: Iterable[tuple[Backend, Snapshot]]) -> None:
        """Give each device the slots that its backends are configured or say to have.

        Where several share one, the fewest count: it is one device.
        """
        slots: dict[str, int] = {}
        for backend, snapshot in backends:
            name, own = device_of(backend), _slots(backend, snapshot)
            known = slots.get(name, 0)
            slots[name] = min(own, known) if own and known else own or known
        for name, count in slots.items():
            queue = self._queues.setdefault(
                name, DeviceQueue(name, slots=count, limits=self._limits)
            )
            if queue.slots != count:
                queue.resize(count)
        for name in [name for name in self._queues if name not in slots]:
            if not (self._queues[name].running_count or self._queues[name].waiting_count):
                del self._queues[name]


def device_of(backend: Backend) -> str:
    """Return the name of the device a backend runs on; its own name unless configured."""
    return backend.config.device or backend.name


def _slots(backend: Backend, snapshot: Snapshot) -> int:
    """Return how many requests a backend works on at a time; 0 is no limit."""
    if backend.config.max_concurrent is not None:
        return backend.config.max_concurrent
    told = [model.slots for model in snapshot.models if model.slots]
    return max(told, default=0)
