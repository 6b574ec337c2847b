"""A feed never waits for its watchers, and tells each what it missed."""

from __future__ import annotations

import asyncio

from svckit.feed import Feed


async def test_each_watcher_gets_what_comes_from_then_on() -> None:
    feed: Feed[int] = Feed()
    feed.publish(0)
    with feed.watch() as one:
        feed.publish(1)
        with feed.watch() as two:
            feed.publish(2)
            assert await one.next() == ([1, 2], 0)
            assert await two.next() == ([2], 0)


async def test_who_waits_is_woken() -> None:
    feed: Feed[int] = Feed()
    with feed.watch() as watcher:
        waiting = asyncio.ensure_future(watcher.next())
        await asyncio.sleep(0)
        feed.publish(1)
        assert await waiting == ([1], 0)


async def test_who_waits_in_vain_is_told_so() -> None:
    feed: Feed[int] = Feed()
    with feed.watch() as watcher:
        assert await watcher.next(0.001) == ([], 0)
        feed.publish(1)
        assert await watcher.next(0.001) == ([1], 0)


async def test_who_is_slow_loses_the_oldest_and_learns_how_many() -> None:
    feed: Feed[int] = Feed(limit=3)
    with feed.watch() as slow, feed.watch() as quick:
        for number in range(5):
            feed.publish(number)
            assert await quick.next() == ([number], 0)
        assert await slow.next() == ([2, 3, 4], 2)
        feed.publish(5)
        assert await slow.next() == ([5], 0)


async def test_nobody_is_watched_for_who_left() -> None:
    feed: Feed[int] = Feed()
    assert not feed.watched
    with feed.watch():
        assert feed.watched
    assert not feed.watched


async def test_the_end_wakes_who_waits_and_whoever_comes_after() -> None:
    feed: Feed[int] = Feed()
    with feed.watch() as watcher:
        waiting = asyncio.ensure_future(watcher.next())
        await asyncio.sleep(0)
        feed.close()
        assert await waiting == ([], 0)
        assert watcher.closed
        feed.publish(1)
        assert await watcher.next() == ([1], 0)
    with feed.watch() as late:
        assert late.closed
        assert await late.next() == ([], 0)
