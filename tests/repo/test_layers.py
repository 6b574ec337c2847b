"""Who may import whom: the contracts hold, and each of them can fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]

# One import that each contract forbids: where it stands, and what it says.
OFFENCES = {
    "Packages are layered; services know each other only by their contracts": (
        "gateway/offence.py",
        "import router_svc.main",
    ),
    "svckit knows the common contract only, and serves no HTTP": (
        "svckit/offence.py",
        "import lair.memory.v1.conversation_pb2",
    ),
    "memory_svc speaks its own contract and no HTTP": ("memory_svc/offence.py", "import aiohttp"),
    "metrics_svc speaks its own contract and no HTTP": (
        "metrics_svc/offence.py",
        "import lair.router.v1.chat_pb2",
    ),
    "SQL only in storage": ("router_svc/offence.py", "import sqlite3"),
    "faiss only in memory storage, sentence_transformers only in memory embedding": (
        "memory_svc/offence.py",
        "import faiss",
    ),
    "router_svc speaks HTTP only to backends": ("router_svc/offence.py", "import aiohttp"),
    "Dialects are pure": ("gateway/dialects/offence.py", "import asyncio"),
}


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache"],
        cwd=tree,
        env={"PYTHONPATH": f"{tree}:{tree / 'gen'}", "PATH": "", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy what the contracts are about."""
    for package in CONFIG["root_packages"]:
        source = "gen/lair" if package == "lair" else package
        shutil.copytree(ROOT / source, tmp_path / source, ignore=shutil.ignore_patterns("*.db"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_nobody_imports_what_they_may_not() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout
    assert f"{len(CONFIG['contracts'])} kept, 0 broken" in done.stdout


def test_every_contract_has_an_offence_here() -> None:
    assert set(OFFENCES) == {contract["name"] for contract in CONFIG["contracts"]}


@pytest.mark.parametrize("contract", OFFENCES)
def test_a_forbidden_import_breaks_its_contract(copy: Path, contract: str) -> None:
    file, statement = OFFENCES[contract]
    (copy / file).write_text(statement + "\n")
    done = lint_imports(copy)
    assert done.returncode != 0
    assert f"{contract} BROKEN" in done.stdout
