"""What the device of a backend draws goes with each request it worked on."""

from __future__ import annotations

import pytest

from tests.fakes.answers import reply
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import World, answer, asking, failure


@pytest.mark.parametrize("watts", [350.5, None])
async def test_what_a_device_draws_is_in_the_record(
    world: World, server: OpenAIServer, watts: float | None
) -> None:
    async with world.router(server, backend={"watts": watts}) as router:
        await answer(router, asking("hi"))
    record = await world.metrics.record()
    assert (record.device_watts if record.HasField("device_watts") else None) == watts


async def test_of_several_it_is_the_last_that_was_asked(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    server.script(reply({"error": "boom"}, 500))
    backends = [
        {"name": "a", "url": server.url, "watts": 350, "priority": 1},
        {"name": "b", "url": other.url, "watts": 200},
    ]
    async with world.router(backends=backends) as router:
        await answer(router, asking("hi"))
    record = await world.metrics.record()
    assert (record.backend, record.device_watts) == ("b", 200)


async def test_a_request_that_no_backend_was_asked_for_has_none(
    world: World, server: OpenAIServer
) -> None:
    async with world.router(server, backend={"watts": 350}) as router:
        await failure(answer(router, asking("hi", model="unknown")))
    assert not (await world.metrics.record()).HasField("device_watts")
