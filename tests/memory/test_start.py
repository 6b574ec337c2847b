"""How the service starts and ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from memory_svc.main import open_service
from svckit.grpc_server import ServeError, serving
from svckit.settings import Memory, Settings
from tests.memory.chats import WordEmbedder


def test_importing_the_service_imports_no_model_library():
    # Importing them takes seconds; the service must answer within one.
    program = (
        "import sys, memory_svc.main;"
        "print(*{'torch', 'sentence_transformers', 'transformers', 'faiss'} & set(sys.modules))"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert done.stdout.split() == []


async def test_a_port_in_use_is_said_plainly(tmp_path: Path):
    async def serve(folder: Path, address: str) -> None:
        settings = Settings(data_dir=folder, memory=Memory())
        async with (
            open_service(settings, embedder=WordEmbedder()) as servicers,
            serving(servicers, address) as port,
        ):
            await serve(tmp_path / "b", f"127.0.0.1:{port}")

    with pytest.raises(ServeError, match="the port is in use"):
        await serve(tmp_path / "a", "127.0.0.1:0")
