"""A configured name means one set of files, and a changed file makes it another."""

from pathlib import Path

import huggingface_hub.constants
import pytest

from memory_svc.embedding import sources, weights
from memory_svc.embedding.base import EmbeddingError
from tests.memory.tiny_models import make_tiny_model

COMMIT = "5617a9f61b028005a4858fdac845db406aefb181"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, empty."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def cache(hub: Path, name: str) -> None:
    folder = hub / f"models--{name.replace('/', '--')}"
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_the_default_is_known_by_its_published_hash(name: str):
    source = sources.find(name)
    assert source.opened == str(weights.default_weights())
    assert source.model == "all-MiniLM-L6-v2"
    assert source.key == f"all-MiniLM-L6-v2-{weights.SHA256[:12]}"


def test_a_folder_is_known_by_what_is_in_it(tmp_path: Path):
    folder = make_tiny_model(tmp_path / "tiny model")
    copy = make_tiny_model(tmp_path / "elsewhere" / "tiny model")
    source = sources.find(str(folder))
    assert source.key.startswith("tiny-model-")
    assert source.model == source.key == sources.find(str(copy)).key
    (copy / "config.json").write_text("{}")
    assert sources.find(str(copy)).key != source.key


def test_files_that_a_model_is_not_loaded_from_do_not_count(tmp_path: Path):
    folder = make_tiny_model(tmp_path / "tiny")
    before = sources.find(str(folder))
    (folder / "README.md").write_text("read me")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "config.json").write_text("{}")
    assert sources.find(str(folder)) == before


@pytest.mark.parametrize("name", ["/no/such/model", "./model", "~/model", "a/b/c"])
def test_a_folder_that_is_not_there_is_an_error_that_names_it(name: str):
    with pytest.raises(EmbeddingError, match=f"there is no folder {name}; .*lair.toml"):
        sources.find(name)


@pytest.mark.parametrize(
    ("name", "cached"),
    [
        ("intfloat/e5-small", "intfloat/e5-small"),
        ("all-mpnet-base-v2", "sentence-transformers/all-mpnet-base-v2"),
        ("plain", "plain"),
    ],
)
def test_a_model_of_the_hub_is_known_by_its_commit(hub: Path, name: str, cached: str):
    cache(hub, cached)
    source = sources.find(name)
    assert (source.opened, source.fingerprint) == (name, COMMIT)
    assert source.key == f"{name.replace('/', '-')}-{COMMIT[:12]}"


@pytest.mark.usefixtures("hub")
def test_a_model_that_was_not_fetched_yet_has_no_fingerprint():
    source = sources.find("intfloat/e5-small")
    assert (source.opened, source.key, source.model) == (
        "intfloat/e5-small",
        "",
        "intfloat-e5-small",
    )


@pytest.mark.usefixtures("hub")
def test_what_is_no_name_at_all_is_refused():
    with pytest.raises(EmbeddingError, match="is no model's name"):
        sources.find("what is this?")
