"""Only the published weights are loaded; without a model, words are searched all the same."""

import shutil
from pathlib import Path

import pytest

from memory_svc.embedding import weights
from memory_svc.embedding.base import EmbeddingError, ModelStatus
from memory_svc.embedding.sentence import SentenceEmbedder
from tests.memory.chats import StuckEmbedder, running, user


@pytest.fixture
def tampered(tmp_path: Path) -> Path:
    """A copy of the installed weights with one byte changed."""
    folder = tmp_path / "model"
    shutil.copytree(weights.default_weights(), folder)
    file = folder / "model.safetensors"
    with file.open("r+b") as opened:
        opened.seek(-1, 2)
        last = opened.read(1)
        opened.seek(-1, 2)
        opened.write(bytes([last[0] ^ 1]))
    return folder


def test_the_installed_weights_are_the_published_ones():
    weights.verify(weights.default_weights())


def test_one_changed_byte_is_refused(tampered: Path):
    with pytest.raises(EmbeddingError, match="SHA-256") as refused:
        weights.verify(tampered)
    assert weights.SHA256 in str(refused.value)


def test_missing_weights_are_an_error_that_names_the_file(tmp_path: Path):
    with pytest.raises(EmbeddingError, match=r"model\.safetensors cannot be read"):
        weights.verify(tmp_path)


@pytest.mark.parametrize(
    ("model", "default"),
    [
        ("all-MiniLM-L6-v2", True),
        ("sentence-transformers/all-MiniLM-L6-v2", True),
        ("all-mpnet-base-v2", False),
        ("./all-MiniLM-L6-v2", False),
    ],
)
def test_both_names_of_the_default_mean_the_installed_weights(model: str, default: bool):
    assert weights.is_default(model) is default


async def test_with_tampered_weights_words_are_searched(tmp_path: Path, tampered: Path):
    embedder = SentenceEmbedder("all-MiniLM-L6-v2", tmp_path / "m", default_folder=tampered)
    async with running(tmp_path, embedder) as memories:
        await memories.say("c", [user("my dog is called Rex")])
        while (status := await memories.status()).model_state == "loading":
            pass
        assert status.model_state == "failed"
        assert "SHA-256" in status.model_error
        response = await memories.search("dog")
        assert [passage.text for passage in response.passages] == ["my dog is called Rex"]
        assert response.degraded.startswith("meaning: the embedding model failed: ")


@pytest.mark.parametrize(
    ("status", "degraded"),
    [
        (ModelStatus("loading"), "meaning: the embedding model is loading"),
        (ModelStatus("off"), "meaning: indexing is off"),
        (ModelStatus("failed", "why"), "meaning: the embedding model failed: why"),
    ],
    ids=["loading", "off", "failed"],
)
async def test_a_search_says_that_meanings_were_not_compared(
    tmp_path: Path, status: ModelStatus, degraded: str
):
    async with running(tmp_path, StuckEmbedder(status)) as memories:
        await memories.say("c", [user("my dog is called Rex")])
        response = await memories.search("dog")
        assert response.degraded == degraded
        [passage] = response.passages
        assert passage.lexical_score == 1.0
        assert not passage.HasField("dense_score")
        status_now = await memories.status()
        assert (status_now.model_state, status_now.pending_count) == (status.state, 1)


async def test_an_unknown_model_fails_with_its_name(tmp_path: Path):
    embedder = SentenceEmbedder(str(tmp_path / "no-such-model"), tmp_path)
    await embedder.load()
    embedder.close()
    assert embedder.status.state == "failed"
    assert "no-such-model" in embedder.status.error
