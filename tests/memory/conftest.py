"""A memory_svc that searches by words alone, each MemoryStore, and the exported models."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from memory_svc.storage.base import MemoryStore
from memory_svc.storage.local.store import open_local_store
from tests.memory.chats import Memories, running


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of exported models, with the default in it: made once, it takes half a minute."""
    folder = tmp_path_factory.mktemp("models")
    command = [sys.executable, "-m", "memory_svc.embedding.export", "all-MiniLM-L6-v2", str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, env=environment, check=True, timeout=280)
    return folder


@pytest.fixture
async def memories(tmp_path: Path) -> AsyncIterator[Memories]:
    async with running(tmp_path) as memories:
        yield memories


@pytest.fixture(params=["local"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MemoryStore]:
    async with open_local_store(tmp_path / "memory.db") as store:
        yield store
