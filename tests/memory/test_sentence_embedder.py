"""A model is exported once and served without torch, which serves what cannot be exported."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
import pytest

from memory_svc.embedding import exports, sources
from memory_svc.embedding.base import EmbeddingError
from memory_svc.embedding.exports import GRAPH, Export
from memory_svc.embedding.onnx_encoder import OnnxEncoder
from memory_svc.embedding.sentence import SentenceEmbedder
from memory_svc.embedding.torch_encoder import TorchEncoder
from tests.memory.tiny_models import WIDTH, make_tiny_model

# Exports take a while on a busy machine.
pytestmark = pytest.mark.timeout(300)

QUERY = "query: "
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
# What a service does from its start to its first answer.
FIRST_QUERY = """
import asyncio, sys
from pathlib import Path
from memory_svc.embedding.sentence import SentenceEmbedder

async def main():
    embedder = SentenceEmbedder(sys.argv[1], Path(sys.argv[2]))
    await embedder.load()
    vector = await embedder.embed_query("Where is my bicycle?")
    embedder.close()
    heavy = {"torch", "transformers", "sentence_transformers", "onnx", "huggingface_hub"}
    print(len(vector), embedder.model, *heavy & set(sys.modules))

asyncio.run(main())
"""


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    """Let children find the code under test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("source") / "tiny", query=QUERY)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> tuple[Path, list[str]]:
    """The folder of exported models, and what is in it when an export was killed at its work."""
    models = tmp_path_factory.mktemp("models")
    command = [sys.executable, "-m", "memory_svc.embedding.export", str(folder), str(models)]
    with subprocess.Popen(command, env=ENVIRONMENT) as child:
        while child.poll() is None and not list(models.glob(".*/*")):
            time.sleep(0.01)
        child.kill()
    assert child.returncode == -signal.SIGKILL
    return models, names(models)


@pytest.fixture(scope="module")
def exported(killed: tuple[Path, list[str]], folder: Path) -> Path:
    """The folder of exported models, with the tiny one in it, made by a first start."""
    models, _ = killed

    async def first_start() -> None:
        with closing(SentenceEmbedder(str(folder), models)) as embedder:
            await embedder.load()
            assert embedder.status.error == ""

    asyncio.run(first_start())
    return models


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


async def opened(model: Path, models: Path) -> SentenceEmbedder:
    embedder = SentenceEmbedder(str(model), models)
    await embedder.load()
    return embedder


@pytest.fixture
async def embedder(folder: Path, exported: Path) -> AsyncIterator[SentenceEmbedder]:
    with closing(await opened(folder, exported)) as embedder:
        yield embedder


def found(models: Path, model: Path) -> Export:
    export = exports.find(models, sources.find(str(model)))
    assert isinstance(export, Export)
    return export


def test_the_export_says_what_it_is_and_is_nobody_elses(folder: Path, exported: Path):
    export = found(exported, folder)
    manifest = export.manifest
    assert manifest.model == f"{sources.find(str(folder)).key}@int8"
    assert (manifest.dimensions, manifest.max_tokens, manifest.pooling) == (WIDTH, 24, "mean")
    assert (manifest.query_prompt, manifest.document_prompt) == (QUERY, "")
    assert manifest.agreement_mean >= 0.97
    assert manifest.agreement_least >= 0.93
    assert names(export.folder) == ["manifest.json", "model.onnx", "tokenizer.json"]
    for path in (exported, export.folder, *export.folder.iterdir()):
        assert path.stat().st_mode & 0o077 == 0


def test_a_killed_export_leaves_nothing_that_is_taken_for_one(
    killed: tuple[Path, list[str]], folder: Path
):
    key = sources.find(str(folder)).key
    assert killed[1] == [f".{key}.partial"]


def test_the_next_export_sweeps_what_a_killed_one_left(folder: Path, exported: Path):
    assert names(exported) == [sources.find(str(folder)).key]


def test_after_the_export_a_start_imports_no_torch(models: Path):
    command = [sys.executable, "-c", FIRST_QUERY, "all-MiniLM-L6-v2", str(models)]
    done = subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1].split() == ["384", "all-MiniLM-L6-v2@int8"]


async def test_its_vectors_are_those_of_torch(folder: Path, embedder: SentenceEmbedder):
    torch = await asyncio.to_thread(TorchEncoder, sources.find(str(folder)), device="cpu")
    texts = ["a red bicycle", "", "w" * 30, "Ä é ß", "a much longer sentence than it reads " * 9]
    rows = await embedder.embed(texts)
    assert (rows.dtype, rows.shape) == (np.float32, (len(texts), WIDTH))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert (rows * torch.encode(texts, query=False)).sum(axis=1).min() > 0.99
    question = await embedder.embed_query("a red bicycle")
    assert question @ torch.encode(["a red bicycle"], query=True)[0] > 0.99
    [as_text] = await embedder.embed([f"{QUERY}a red bicycle"])
    np.testing.assert_allclose(question, as_text, atol=1e-5)


async def test_a_text_has_the_same_vector_in_any_company(embedder: SentenceEmbedder):
    texts = [letter * length for letter in "abc" for length in (1, 9, 4, 20)]
    together = await embedder.embed(texts)
    for text, row in zip(texts, together, strict=True):
        [alone] = await embedder.embed([text])
        # Padding changes the scale of eight-bit numbers a little.
        assert alone @ row > 0.995
    assert (await embedder.embed([])).shape == (0, WIDTH)


async def test_what_is_no_text_is_an_error_of_that_text(embedder: SentenceEmbedder):
    with pytest.raises(EmbeddingError, match=r"tiny-.*@int8: "):
        await embedder.embed(["half a character: \ud83d"])
    assert len(await embedder.embed(["a whole one"])) == 1


async def test_a_question_waits_for_one_slice_of_what_is_indexed(embedder: SentenceEmbedder):
    # Some hundred slices, all of them in the queue or coming to it.
    texts = [f"{number} {'word ' * 80}" for number in range(200)]
    indexing = [asyncio.create_task(embedder.embed(texts)) for _ in range(3)]
    await asyncio.sleep(0)
    for _ in range(5):
        await embedder.embed_query("Where is my bicycle?")
    assert not any(task.done() for task in indexing)
    assert [len(await task) for task in indexing] == [200, 200, 200]


async def test_a_damaged_export_is_made_again(tmp_path: Path, folder: Path, exported: Path):
    whole = found(exported, folder)
    damaged = tmp_path / whole.folder.name
    damaged.mkdir()
    for file in whole.folder.iterdir():
        content = file.read_bytes()
        (damaged / file.name).write_bytes(content[:-1] if file.name == GRAPH else content)
    with pytest.raises(EmbeddingError, match=r"model\.onnx is not what was exported"):
        OnnxEncoder(found(tmp_path, folder))
    with closing(await opened(folder, tmp_path)) as embedder:
        assert embedder.model == whole.manifest.model
        assert len(await embedder.embed(["a"])) == 1
    assert OnnxEncoder(found(tmp_path, folder)).dimensions == WIDTH


async def test_the_export_ends_with_who_asked_for_it(tmp_path: Path, folder: Path):
    command = ("-m", "memory_svc.embedding.export", str(folder), str(tmp_path), "--until-eof")
    child = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=ENVIRONMENT, stdin=asyncio.subprocess.PIPE
    )
    child.stdin.close()
    async with asyncio.timeout(30):
        assert await child.wait() == 1
    assert names(tmp_path) == []


def exporting() -> bool:
    children = psutil.Process().children()
    return any("memory_svc.embedding.export" in child.cmdline() for child in children)


async def test_a_service_that_stops_ends_its_export(tmp_path: Path, folder: Path):
    with closing(SentenceEmbedder(str(folder), tmp_path)) as embedder:
        loading = asyncio.create_task(embedder.load())
        async with asyncio.timeout(30):
            while not exporting():  # noqa: ASYNC110  # the system tells nobody
                await asyncio.sleep(0)
        loading.cancel()
        await asyncio.wait([loading])
        assert loading.cancelled()
    assert not exporting()
    assert names(tmp_path) == []


async def test_a_model_that_loses_too_much_is_served_by_torch(tmp_path: Path):
    bad = make_tiny_model(tmp_path / "bad", bad_for_int8=True)
    models = tmp_path / "models"
    with closing(await opened(bad, models)) as embedder:
        key = sources.find(str(bad)).key
        assert (embedder.status.state, embedder.model) == ("ready", key)
        [row] = await embedder.embed(["a"])
        assert row @ row == pytest.approx(1)
    refused = models / key / "refused.json"
    assert "does not agree with torch: cosines of " in json.loads(refused.read_text())["reason"]
    made = refused.stat()
    with closing(await opened(bad, models)) as embedder:
        assert embedder.model == key
    assert refused.stat() == made, "it was exported again"


async def test_torch_serves_where_it_is_asked_for(tmp_path: Path, folder: Path):
    with closing(SentenceEmbedder(str(folder), tmp_path, runtime="torch")) as embedder:
        await embedder.load()
        assert embedder.model == sources.find(str(folder)).key
        assert (await embedder.embed_query("a")).shape == (WIDTH,)
    assert names(tmp_path) == []


async def test_a_folder_that_is_no_model_fails_with_the_reason(tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with closing(await opened(empty, tmp_path / "models")) as embedder:
        assert embedder.status.state == "failed"
        assert str(empty) in embedder.status.error
        assert "memory.embedding_model" in embedder.status.error
        with pytest.raises(EmbeddingError, match="is failed"):
            await embedder.embed_query("a")


async def test_until_it_is_loaded_it_embeds_nothing(tmp_path: Path):
    with closing(SentenceEmbedder("all-MiniLM-L6-v2", tmp_path)) as embedder:
        assert embedder.model == "all-MiniLM-L6-v2@int8"
        with pytest.raises(EmbeddingError, match="is loading"):
            await embedder.embed(["a"])
