"""gen/ is what protos/ gives; a difference of one byte is found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def check(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "tools/gen_protos.py", "--check"],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for folder in ("protos", "gen", "tools"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    return tmp_path


def test_the_generated_code_is_fresh() -> None:
    done = check(ROOT)
    assert done.returncode == 0, done.stderr


def test_a_changed_byte_is_found(copy: Path) -> None:
    changed = copy / "gen" / "lair" / "common" / "v1" / "chat_pb2.py"
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    done = check(copy)
    assert done.returncode != 0
    assert "lair/common/v1/chat_pb2.py" in done.stderr
    assert "make protos" in done.stderr


def test_a_file_that_no_contract_gives_is_found(copy: Path) -> None:
    (copy / "gen" / "lair" / "common" / "v1" / "left_pb2.py").touch()
    assert "lair/common/v1/left_pb2.py" in check(copy).stderr


def test_a_contract_that_was_not_compiled_is_found(copy: Path) -> None:
    proto = copy / "protos" / "lair" / "common" / "v1" / "caller.proto"
    proto.write_text(proto.read_text().replace("string project = 2;", "string project = 16;"))
    assert "lair/common/v1/caller_pb2.py" in check(copy).stderr
