"""A memory_svc that searches by words alone, and each MemoryStore."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from memory_svc.storage.base import MemoryStore
from memory_svc.storage.local.store import open_local_store
from tests.memory.chats import Memories, running


@pytest.fixture
async def memories(tmp_path: Path) -> AsyncIterator[Memories]:
    async with running(tmp_path) as memories:
        yield memories


@pytest.fixture(params=["local"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MemoryStore]:
    async with open_local_store(tmp_path / "memory.db") as store:
        yield store
