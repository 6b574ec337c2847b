"""Real Python clients, unmodified, against a real lair: each does all it was written to do, and
all that it was sent is what the official document says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.page import PAGE
from tests.compat.roster import CLIENTS, HERE, Client
from tests.compat.running import run
from tests.compat.world import world
from tests.e2e.stack import Lair

PYTHON_CLIENTS = [client for client in CLIENTS if client.is_python]


@pytest.fixture(scope="module")
def lair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lair]:
    with world(tmp_path_factory.mktemp("compat")) as running:
        yield running


@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.parametrize("client", PYTHON_CLIENTS, ids=lambda client: client.name)
def test_a_client_works_and_is_sent_what_the_document_says(
    client: Client, lair: Lair, tmp_path: Path
) -> None:
    assert client.is_installed, f"`make .venv-compat/{client.environment}/.ready` installs it"
    outcome = run(client, lair, tmp_path)
    assert outcome.failures == []
    assert outcome.verdict.violations == []


@pytest.mark.parametrize("client", PYTHON_CLIENTS, ids=lambda client: client.name)
def test_the_page_says_that_the_pinned_version_works(client: Client) -> None:
    pins = (HERE / "requirements" / f"{client.environment}.txt").read_text().splitlines()
    [pinned] = [pin.partition("==")[2] for pin in pins if pin.startswith(f"{client.package}==")]
    rows = PAGE.read_text().splitlines()
    [row] = [row for row in rows if row.startswith(f"| {client.name} |")]
    assert row.startswith(f"| {client.name} | {pinned} |")
    assert row.endswith("| 0 | works |")
