"""Backends on one device share its queue, whatever becomes of the configuration."""

from __future__ import annotations

from router_svc.backends.base import Backend
from router_svc.backends.kinds import make_backend
from router_svc.devices import Devices
from router_svc.line import Priority
from router_svc.model import ServedModel, Snapshot
from router_svc.queue import Ask, QueueLimits
from svckit import settings
from tests.router.virtual_time import in_virtual_time

ASK = Ask("bot", Priority.AGENT)
LIMITS = QueueLimits(10, 60)
SILENT = Snapshot()


def backend(name: str, *, device: str = "", slots: int | None = None) -> Backend:
    return make_backend(
        settings.Backend(name=name, url="http://gpu.test/v1", device=device, max_concurrent=slots)
    )


def test_backends_that_name_one_device_share_its_queue() -> None:
    devices = Devices(LIMITS)
    first, second = backend("a", device="gpu0"), backend("b", device="gpu0")
    assert devices.of(first) is devices.of(second)
    assert devices.of(first).name == "gpu0"
    assert devices.of(backend("c")) is not devices.of(first)


def test_a_shared_device_has_the_fewest_slots_that_any_backend_has() -> None:
    devices = Devices(LIMITS)
    backends = [
        backend("a", device="gpu0", slots=3),
        backend("b", device="gpu0", slots=2),
        backend("c", device="gpu0"),
    ]
    devices.resize((each, SILENT) for each in backends)
    assert devices.of(backends[2]).slots == 2


def test_what_is_configured_counts_more_than_what_the_server_says() -> None:
    devices = Devices(LIMITS)
    said = Snapshot(models=(ServedModel("m", slots=4),))
    told, configured, neither = backend("a"), backend("b", slots=1), backend("c")
    devices.resize([(told, said), (configured, said), (neither, SILENT)])
    assert [devices.of(each).slots for each in (told, configured, neither)] == [4, 1, 0]


@in_virtual_time
async def test_a_queue_in_use_is_resized_and_kept() -> None:
    devices = Devices(LIMITS)
    devices.resize([(backend("a", slots=1), SILENT)])
    queue = devices.of(backend("a"))
    with queue.enter(ASK), queue.enter(ASK) as place:
        devices.resize([(backend("a", slots=2), SILENT)])
        await place.admitted()
        assert devices.of(backend("a")) is queue


@in_virtual_time
async def test_a_device_that_nobody_names_goes_when_it_is_idle() -> None:
    devices = Devices(LIMITS)
    devices.resize([(backend("a", slots=1), SILENT)])
    queue = devices.of(backend("a"))
    with queue.enter(ASK):
        devices.resize([])
        assert devices.of(backend("a")) is queue
    devices.resize([])
    assert devices.of(backend("a")) is not queue
