"""What a turn costs to store does not grow with what is stored already."""

import statistics
from pathlib import Path

from memory_svc.model import Turn
from memory_svc.storage.local.store import LocalStore, open_local_store
from tests.memory.chats import NOW_US, assistant, user


class Steps:
    """Counts what the database that writes does, in hundreds of its machine's steps."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> int:
        self.count += 1
        return 0


def a_turn(conversation: str, n: int) -> Turn:
    return Turn(
        f"{conversation} {n}",
        *("ann", conversation),
        (user(f"what about number {n}?"),),
        NOW_US + n,
        parent_head="active",
        reply=assistant(f"number {n} is odd, if you ask me"),
    )


async def cost(store: LocalStore, conversation: str, first: int) -> float:
    """Return what a further turn of a conversation costs."""
    steps, costs = Steps(), []
    await store._database._writer.set_progress_handler(steps, 100)
    for n in range(first, first + 9):
        before = steps.count
        await store.append([a_turn(conversation, n)])
        costs.append(steps.count - before)
    await store._database._writer.set_progress_handler(None, 0)
    return statistics.median(costs)


async def test_a_turn_costs_the_same_in_a_long_conversation_of_a_large_memory(tmp_path: Path):
    async with open_local_store(tmp_path / "m.db") as store:
        await store.append([a_turn("c", 0)])
        small = await cost(store, "c", 1)
        await store.append([a_turn("c", n) for n in range(10, 800)])
        await store.append([a_turn(f"c{n}", 0) for n in range(800)])
        large = await cost(store, "c", 800)
        assert 0 < large < 2 * small
