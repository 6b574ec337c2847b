from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stack import Lair, lair_up, llama_server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/e2e/" in item.nodeid:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def llama() -> Iterator[str]:
    with llama_server() as url:
        yield url


@pytest.fixture(scope="session")
def lair(llama: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lair]:
    """One lair for all tests that leave it as they found it."""
    folder = tmp_path_factory.mktemp("lair")
    with lair_up(folder, backends={"tiny": llama}) as running:
        yield running
