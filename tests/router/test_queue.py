"""Requests wait for a device in a fair order, within limits, and never hold what they left."""

from __future__ import annotations

import asyncio
import math

import pytest

from router_svc.line import Priority
from router_svc.queue import (
    FIRST_GUESS_SECONDS,
    Ask,
    DeviceQueue,
    Place,
    QueueFullError,
    QueueLimits,
    QueueTimeoutError,
)
from tests.router.virtual_time import in_virtual_time

INTERACTIVE = Ask("ann", Priority.INTERACTIVE)
AGENT = Ask("bot", Priority.AGENT)


def queue_of(slots: int, *, waiting: int = 1000, seconds: float = math.inf) -> DeviceQueue:
    return DeviceQueue("gpu0", slots=slots, limits=QueueLimits(waiting, seconds))


async def settle() -> None:
    """Let everybody run until all wait."""
    for _ in range(5):
        await asyncio.sleep(0)


async def serve(
    queue: DeviceQueue, log: list[str], name: str, ask: Ask = AGENT, *, seconds: float = 1.0
) -> None:
    """Be one request that takes `seconds` once it is admitted."""
    with queue.enter(ask) as place:
        await place.admitted()
        log.append(name)
        await asyncio.sleep(seconds)


async def watch(place: Place, told: list[int]) -> None:
    async for position in place.positions():
        told.append(position)  # noqa: PERF401  # as they come


# -- being admitted ------------------------------------------------------------


@in_virtual_time
async def test_where_there_is_room_nobody_waits() -> None:
    queue = queue_of(2)
    told: list[int] = []
    with queue.enter(AGENT) as one, queue.enter(AGENT) as two:
        for place in (one, two):
            await place.admitted()
            await watch(place, told)
        assert (queue.running_count, queue.waiting_count, told) == (2, 0, [])
    assert (queue.running_count, queue.slots) == (0, 2)


@in_virtual_time
async def test_requests_of_one_key_are_served_as_they_came() -> None:
    queue, log = queue_of(2), list[str]()
    async with asyncio.TaskGroup() as tasks:
        for name in "abcdef":
            tasks.create_task(serve(queue, log, name))
        await settle()
        assert (queue.running_count, queue.waiting_count, log) == (2, 4, ["a", "b"])
    assert log == list("abcdef")
    assert asyncio.get_running_loop().time() == pytest.approx(3)


@in_virtual_time
async def test_a_block_that_fails_gives_its_slot_back() -> None:
    queue, log = queue_of(1), list[str]()
    with pytest.raises(ZeroDivisionError), queue.enter(AGENT):
        raise ZeroDivisionError
    await serve(queue, log, "next")
    assert log == ["next"]


@in_virtual_time
async def test_without_a_limit_nobody_waits_and_all_are_counted() -> None:
    queue, log = queue_of(0, waiting=0), list[str]()
    async with asyncio.TaskGroup() as tasks:
        for name in "abcdef":
            tasks.create_task(serve(queue, log, name))
        await settle()
        assert (queue.running_count, queue.waiting_count) == (6, 0)
        assert queue.expected_wait_seconds(Priority.BATCH) == 0
    assert queue.running_count == 0


@in_virtual_time
async def test_a_person_waits_for_one_running_request_of_twenty_agents() -> None:
    queue, log = queue_of(1), list[str]()
    async with asyncio.TaskGroup() as tasks:
        for number in range(20):
            for _ in range(3):
                ask = Ask(f"agent{number}", Priority.AGENT)
                tasks.create_task(serve(queue, log, f"agent{number}", ask))
        await asyncio.sleep(4.5)
        before = len(log)
        await tasks.create_task(serve(queue, log, "person", INTERACTIVE, seconds=0.25))
        assert asyncio.get_running_loop().time() == pytest.approx(5.25)
        assert log[before] == "person"
    # The very first found the slot free, which was no turn; then all take turns.
    first, *others = agents = [f"agent{number}" for number in range(20)]
    log.remove("person")
    assert log == [first, *agents, *agents, *others]


@in_virtual_time
async def test_agents_go_on_while_people_never_stop_asking() -> None:
    queue, log = queue_of(1), list[str]()
    async with asyncio.TaskGroup() as tasks:
        for number in range(40):
            ask = Ask(f"person{number}", Priority.INTERACTIVE)
            tasks.create_task(serve(queue, log, "person", ask))
        await settle()
        for _ in range(3):
            tasks.create_task(serve(queue, log, "agent"))
    # The first person found a free slot: nobody was passed over by that.
    assert [i for i, name in enumerate(log) if name == "agent"] == [9, 18, 27]


# -- knowing where one stands --------------------------------------------------


@in_virtual_time
async def test_those_who_wait_hear_how_many_are_served_first() -> None:
    queue = queue_of(1)
    told: dict[str, list[int]] = {"first": [], "second": [], "person": []}

    async def wait(name: str, ask: Ask) -> None:
        with queue.enter(ask) as place:
            await watch(place, told[name])
            await place.admitted()
            await asyncio.sleep(1)

    async with asyncio.TaskGroup() as tasks:
        with queue.enter(AGENT):
            tasks.create_task(wait("first", AGENT))
            tasks.create_task(wait("second", AGENT))
            await settle()
            tasks.create_task(wait("person", INTERACTIVE))
            await settle()
            assert told == {"first": [0, 1], "second": [1, 2], "person": [0]}
    assert told == {"first": [0, 1, 0], "second": [1, 2, 1, 0], "person": [0]}


@in_virtual_time
async def test_who_is_slow_to_ask_hears_the_latest_only() -> None:
    queue, log = queue_of(1), list[str]()
    async with asyncio.TaskGroup() as tasks:
        for name in "abcde":
            tasks.create_task(serve(queue, log, name))
        await settle()
        with queue.enter(AGENT) as place:
            positions = place.positions()
            assert await anext(positions) == 4
            await asyncio.sleep(2.5)
            assert await anext(positions) == 2
            await asyncio.sleep(10)
            assert log == list("abcde")
            assert [position async for position in positions] == []
            await place.admitted()


@in_virtual_time
async def test_what_changes_nothing_for_one_is_not_told() -> None:
    queue, told = queue_of(1), list[int]()
    async with asyncio.TaskGroup() as tasks:
        with queue.enter(AGENT), queue.enter(AGENT) as place:
            watching = tasks.create_task(watch(place, told))
            await settle()
            for _ in range(3):
                with queue.enter(AGENT):
                    await settle()
            assert told == [0]
            watching.cancel()


@in_virtual_time
async def test_one_may_stop_listening_and_be_admitted() -> None:
    queue, log = queue_of(1), list[str]()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(queue, log, "a"))
        await settle()
        with queue.enter(AGENT) as place:
            async for _ in place.positions():
                break
            await place.admitted()
            assert asyncio.get_running_loop().time() == pytest.approx(1)


# -- leaving -------------------------------------------------------------------


@in_virtual_time
async def test_fifty_cancelled_requests_are_never_served() -> None:
    queue, log = queue_of(1), list[str]()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(queue, log, "running"))
        gone = [tasks.create_task(serve(queue, log, "gone")) for _ in range(50)]
        tasks.create_task(serve(queue, log, "staying"))
        await settle()
        assert queue.waiting_count == 51
        for task in gone:
            task.cancel()
        await settle()
        assert queue.waiting_count == 1
    assert log == ["running", "staying"]
    assert asyncio.get_running_loop().time() == pytest.approx(2)


@pytest.mark.parametrize("listening", [False, True], ids=["admitted", "positions"])
@in_virtual_time
async def test_a_slot_given_to_one_that_is_being_cancelled_goes_to_the_next(
    listening: bool,
) -> None:
    queue, log = queue_of(1), list[str]()

    async def unlucky() -> None:
        with queue.enter(AGENT) as place:
            if listening:
                await watch(place, [])
            await place.admitted()
            log.append("unlucky")

    async with asyncio.TaskGroup() as tasks:
        with queue.enter(AGENT):
            victims = [tasks.create_task(unlucky()) for _ in range(3)]
            await settle()
            tasks.create_task(serve(queue, log, "next"))
            await settle()
        # The first of them has the slot now, and has not run since.
        assert (queue.running_count, queue.waiting_count) == (1, 3)
        for victim in victims:
            victim.cancel()
        await settle()
        assert (queue.running_count, queue.waiting_count, log) == (1, 0, ["next"])
    assert queue.running_count == 0


@in_virtual_time
async def test_a_place_that_was_left_gets_no_slot() -> None:
    queue = queue_of(1)
    with queue.enter(AGENT), queue.enter(AGENT) as place:
        pass
    with pytest.raises(RuntimeError, match="has been left"):
        await place.admitted()
    assert queue.running_count == 0


# -- limits --------------------------------------------------------------------


@in_virtual_time
async def test_one_more_than_may_wait_is_refused_and_told_when_to_come_back() -> None:
    queue, log = queue_of(1, waiting=2), list[str]()
    await serve(queue, log, "measured", seconds=4)
    async with asyncio.TaskGroup() as tasks:
        for name in "abc":
            tasks.create_task(serve(queue, log, name))
        await settle()
        with pytest.raises(QueueFullError, match="2 requests already wait for gpu0") as refused:
            await serve(queue, log, "d")
        assert refused.value.retry_after_seconds == pytest.approx(12)
        with pytest.raises(QueueFullError) as refused:  # a new key's turn comes earlier
            await serve(queue, log, "e", Ask("other", Priority.AGENT))
        assert refused.value.retry_after_seconds == pytest.approx(8)
        assert (queue.running_count, queue.waiting_count) == (1, 2)
    assert log == ["measured", "a", "b", "c"]


@in_virtual_time
async def test_where_nobody_may_wait_there_is_room_or_not() -> None:
    queue = queue_of(1, waiting=0)
    with queue.enter(AGENT) as place, pytest.raises(QueueFullError), queue.enter(AGENT):
        await place.admitted()


@pytest.mark.parametrize("listening", [False, True], ids=["admitted", "positions"])
@in_virtual_time
async def test_who_waited_as_long_as_one_may_never_gets_a_slot(listening: bool) -> None:
    queue, log = queue_of(1, seconds=3), list[str]()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(queue, log, "long", seconds=10))
        await asyncio.sleep(1)
        with queue.enter(AGENT) as place:
            with pytest.raises(QueueTimeoutError, match="gpu0 had no room for 3 s") as late:
                await (watch(place, []) if listening else place.admitted())
            assert asyncio.get_running_loop().time() == pytest.approx(4)
            assert late.value.waited_seconds == 3
            assert late.value.retry_after_seconds == FIRST_GUESS_SECONDS
            assert queue.waiting_count == 0
            await asyncio.sleep(10)
            assert (queue.running_count, queue.waiting_count) == (0, 0)
            with pytest.raises(QueueTimeoutError):
                await place.admitted()
    assert queue.running_count == 0


@in_virtual_time
async def test_who_was_admitted_in_time_may_take_its_time() -> None:
    queue, log = queue_of(1, seconds=3), list[str]()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(queue, log, "a", seconds=2.5))
        tasks.create_task(serve(queue, log, "b", seconds=100))
        await settle()
        with queue.enter(AGENT) as place, pytest.raises(QueueTimeoutError):
            await place.admitted()
        assert (queue.running_count, log) == (1, ["a", "b"])


@in_virtual_time
async def test_new_limits_count_for_those_that_come() -> None:
    queue = queue_of(1, waiting=1, seconds=5)
    with queue.enter(AGENT), queue.enter(AGENT) as before:
        queue.limits = QueueLimits(2, 1)
        with queue.enter(AGENT) as after:
            with pytest.raises(QueueTimeoutError):
                await after.admitted()
            assert asyncio.get_running_loop().time() == pytest.approx(1)
        with pytest.raises(QueueTimeoutError):
            await before.admitted()
        assert asyncio.get_running_loop().time() == pytest.approx(5)


# -- estimates and sizes -------------------------------------------------------


@in_virtual_time
async def test_the_expected_wait_follows_measured_times_and_the_line() -> None:
    queue, log = queue_of(2), list[str]()
    for _ in range(30):
        await serve(queue, log, "old", seconds=50)
    for _ in range(60):
        await serve(queue, log, "new", seconds=4)
    assert queue.expected_wait_seconds(Priority.BATCH) == 0
    async with asyncio.TaskGroup() as tasks:
        for name in "abcdef":
            tasks.create_task(serve(queue, log, name, seconds=4))
        await settle()
        wait = queue.expected_wait_seconds
        assert wait(Priority.INTERACTIVE) == pytest.approx(2, rel=0.01)
        assert wait(Priority.AGENT, "bot") == pytest.approx(10, rel=0.01)
        assert wait(Priority.AGENT, "other") == pytest.approx(4, rel=0.01)
        assert wait(Priority.BATCH) == pytest.approx(10, rel=0.01)


@in_virtual_time
async def test_before_anything_is_measured_the_wait_is_guessed() -> None:
    queue = queue_of(1)
    with queue.enter(AGENT), queue.enter(AGENT):
        assert queue.expected_wait_seconds(Priority.AGENT, "bot") == 2 * FIRST_GUESS_SECONDS


@in_virtual_time
async def test_a_device_that_grows_admits_at_once() -> None:
    queue, log = queue_of(1), list[str]()
    async with asyncio.TaskGroup() as tasks:
        for name in "abcdef":
            tasks.create_task(serve(queue, log, name))
        await settle()
        queue.resize(3)
        assert (queue.slots, queue.running_count, queue.waiting_count) == (3, 3, 3)
        await settle()
        assert log == list("abc")
        queue.resize(0)
        assert (queue.running_count, queue.waiting_count) == (6, 0)


@in_virtual_time
async def test_a_device_that_shrinks_lets_running_requests_finish() -> None:
    queue, log = queue_of(3), list[str]()
    async with asyncio.TaskGroup() as tasks:
        for name, seconds in zip("abcd", (1, 2, 3, 1), strict=True):
            tasks.create_task(serve(queue, log, name, seconds=seconds))
        await settle()
        queue.resize(1)
        assert queue.expected_wait_seconds(Priority.AGENT, "bot") == 4 * FIRST_GUESS_SECONDS
        for running in (3, 2, 1):
            assert (queue.running_count, queue.waiting_count) == (running, 1)
            await asyncio.sleep(1)
        assert (queue.running_count, queue.waiting_count) == (1, 0)
    assert asyncio.get_running_loop().time() == pytest.approx(4)
