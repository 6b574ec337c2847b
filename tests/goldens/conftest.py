from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.goldens.replaying import Replay, replaying


@pytest.fixture
async def replay(tmp_path: Path) -> AsyncIterator[Replay]:
    async with replaying(tmp_path) as running:
        yield running
