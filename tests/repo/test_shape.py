"""Files fit on a few screens and functions on one (CONTRIBUTING.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_FILE = 400
LONGEST_FUNCTION = 50
FOLDERS = (
    *("svckit", "router_svc", "memory_svc", "metrics_svc", "gateway", "launcher"),
    *("tools", "bench", "examples", "tests"),
)
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def too_long(source: str) -> Iterator[str]:
    """Name each function of `source` that is longer than a screen."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > LONGEST_FUNCTION:
                yield f"{node.name}: {lines} lines"


def test_there_are_files_to_look_at() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in FILES} >= set(FOLDERS[:6])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_and_no_function_is_too_long(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LONGEST_FILE
    assert list(too_long(source)) == []


def test_a_long_function_is_found() -> None:
    body = "    pass\n" * LONGEST_FUNCTION
    assert list(too_long(f"class C:\n  async def long():\n{body}")) == ["long: 51 lines"]
