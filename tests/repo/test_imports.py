"""Every module imports on its own, and no process loads what it does not need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("svckit", "router_svc", "memory_svc", "metrics_svc", "gateway", "launcher")
HEAVY = {"torch", "faiss", "sentence_transformers", "transformers", "onnxruntime"}

# Each module is imported by a fork of an interpreter that has loaded the libraries
# but nothing of ours: as good as a fresh one, at a tenth of the time.
IMPORT_EACH = """
import os, sys, traceback
import aiohttp.web, aiosqlite, google.protobuf.struct_pb2, grpc, numpy, pydantic_settings, structlog
import genai_prices, grpc_health.v1.health, grpc_reflection.v1alpha.reflection, ijson, mcp, msgspec
import prometheus_client, rich.progress, rich.table, typer, uvloop, zstandard

assert not [name for name in sys.modules if name.split(".")[0] in sys.argv[1].split(",")]
waiting, running = sys.stdin.read().split(), 0
while waiting or running:
    if waiting and running < os.cpu_count():
        module, running = waiting.pop(0), running + 1
        if os.fork():
            continue
        try:
            __import__(module)
        except BaseException:
            print(module, flush=True)
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.wait()
    running -= 1
"""


def modules() -> list[str]:
    found = []
    for base, package in [*((ROOT, name) for name in PACKAGES), (ROOT / "gen", "lair")]:
        for path in sorted((base / package).rglob("*.py")):
            parts = path.relative_to(base).with_suffix("").parts
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return [name for name in found if not name.endswith("__main__")]  # which runs at once


def python(script: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    path = f"{ROOT}{os.pathsep}{ROOT / 'gen'}"
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        input=stdin,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.timeout(300)
def test_every_module_imports_on_its_own() -> None:
    ours = ",".join((*PACKAGES, "lair"))
    done = python(IMPORT_EACH, ours, stdin="\n".join(modules()))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "", done.stderr


def test_a_circle_of_imports_is_found(tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text("from second import b\na = 1\n")
    (tmp_path / "second.py").write_text("from first import a\nb = 1\n")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{IMPORT_EACH}"
    done = python(script, "lair", stdin="first second")
    assert sorted(done.stdout.split()) == ["first", "second"]


@pytest.mark.parametrize(
    "module", ["gateway.main", "router_svc.main", "metrics_svc.main", "launcher.cli"]
)
def test_only_memory_loads_models_and_vectors(module: str) -> None:
    script = f"import sys, {module}; print(*sorted({{n.split('.')[0] for n in sys.modules}}))"
    done = python(script)
    assert done.returncode == 0, done.stderr
    assert not HEAVY & set(done.stdout.split())


def test_memory_loads_models_only_when_it_embeds() -> None:
    script = "import sys, memory_svc.main; print(*sorted(n.split('.')[0] for n in sys.modules))"
    done = python(script)
    assert done.returncode == 0, done.stderr
    assert not (HEAVY - {"faiss"}) & set(done.stdout.split())
