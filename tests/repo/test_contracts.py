"""The contracts are clean by buf's rules, comments on everything included, without a network."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUF = Path(sys.executable).with_name("buf")
NO_NETWORK = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    return tmp_path


def buf(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BUF, *arguments],
        cwd=tree,
        env={**NO_NETWORK, "HOME": str(tree), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_contracts_are_clean(copy: Path) -> None:
    done = buf(copy, "lint")
    assert done.returncode == 0, done.stdout


def test_the_contracts_are_formatted(copy: Path) -> None:
    done = buf(copy, "format", "--diff", "--exit-code")
    assert done.returncode == 0, done.stdout


def test_the_contracts_build_without_a_network(copy: Path) -> None:
    done = buf(copy, "build", "-o", "image.json")
    assert done.returncode == 0, done.stderr
    built = {file["name"] for file in json.loads((copy / "image.json").read_text())["file"]}
    ours = {path.relative_to(copy / "protos").as_posix() for path in copy.rglob("*.proto")}
    assert ours <= built


@pytest.mark.parametrize(
    "comment",
    [
        "  // The model's reasoning, kept apart from its answer.\n",
        "  // Plain text.\n",
        "// The parts of a message that is more than text.\n",
    ],
)
def test_a_comment_that_is_missing_is_found(copy: Path, comment: str) -> None:
    chat = copy / "protos" / "lair" / "common" / "v1" / "chat.proto"
    text = chat.read_text()
    assert comment in text
    chat.write_text(text.replace(comment, "", 1))
    done = buf(copy, "lint")
    assert done.returncode != 0
    assert "should have a non-empty comment" in done.stdout


def test_a_change_that_breaks_callers_is_found(copy: Path, tmp_path: Path) -> None:
    before = tmp_path / "before"
    shutil.copytree(copy / "protos", before / "protos")
    shutil.copy(ROOT / "buf.yaml", before)
    chat = copy / "protos" / "lair" / "common" / "v1" / "caller.proto"
    chat.write_text(chat.read_text().replace("string project = 2;", "int64 project = 2;"))
    done = buf(copy, "breaking", "--against", "before")
    assert done.returncode != 0
    assert "caller.proto" in done.stdout
