"""A memory_svc that searches by words alone, for tests that need no more."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.memory.chats import Memories, running


@pytest.fixture
async def memories(tmp_path: Path) -> AsyncIterator[Memories]:
    async with running(tmp_path) as memories:
        yield memories
