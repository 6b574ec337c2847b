"""An export is found whole or not at all."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from memory_svc.embedding import exports
from memory_svc.embedding.base import EmbeddingError
from memory_svc.embedding.exports import GRAPH, Export, Manifest, Refusal
from memory_svc.embedding.sources import Source

SOURCE = Source("m", "/models/m", "0123456789abcdef")
MANIFEST = Manifest(
    format=exports.FORMAT,
    model="m-0123456789ab@int8",
    source=SOURCE.fingerprint,
    quantisation="int8",
    dimensions=3,
    max_tokens=256,
    pad_id=0,
    pooling="mean",
    query_prompt="",
    document_prompt="",
    agreement_mean=0.99,
    agreement_least=0.98,
    made_by=exports.made_by(),
    sha256={GRAPH: sha256(b"graph").hexdigest()},
)


def put(models: Path, content: Manifest | Refusal, graph: bytes = b"graph") -> None:
    partial = models / ".partial"
    partial.mkdir()
    (partial / GRAPH).write_bytes(graph)
    exports.put(models, SOURCE.key, partial, content)


def test_what_was_put_is_found_and_read(tmp_path: Path):
    assert exports.find(tmp_path, SOURCE) is None
    put(tmp_path, MANIFEST)
    found = exports.find(tmp_path, SOURCE)
    assert found == Export(tmp_path / "m-0123456789ab", MANIFEST)
    assert found.read(GRAPH) == b"graph"
    assert [each.name for each in tmp_path.iterdir()] == ["m-0123456789ab"]


def test_a_new_export_takes_the_place_of_the_old(tmp_path: Path):
    put(tmp_path, Refusal(exports.FORMAT, "no", exports.made_by()))
    put(tmp_path, MANIFEST)
    assert isinstance(exports.find(tmp_path, SOURCE), Export)


def test_changed_missing_and_unknown_files_are_refused_by_name(tmp_path: Path):
    put(tmp_path, MANIFEST, graph=b"other")
    found = exports.find(tmp_path, SOURCE)
    assert isinstance(found, Export)
    with pytest.raises(EmbeddingError, match=r"model\.onnx is not what was exported"):
        found.read(GRAPH)
    with pytest.raises(EmbeddingError, match=r"manifest\.json is not what was exported"):
        found.read("manifest.json")
    (found.folder / GRAPH).unlink()
    with pytest.raises(EmbeddingError, match=r"model\.onnx cannot be read"):
        found.read(GRAPH)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 1}', b"\xff"])
def test_an_export_without_a_sound_manifest_is_made_again(tmp_path: Path, content: bytes):
    put(tmp_path, MANIFEST)
    (tmp_path / SOURCE.key / "manifest.json").write_bytes(content)
    assert exports.find(tmp_path, SOURCE) is None


def test_an_export_of_another_format_is_made_again(tmp_path: Path):
    put(tmp_path, replace(MANIFEST, format=exports.FORMAT + 1))
    assert exports.find(tmp_path, SOURCE) is None


def test_a_refusal_holds_until_the_libraries_change(tmp_path: Path):
    refusal = Refusal(exports.FORMAT, "it does not agree", exports.made_by())
    put(tmp_path, refusal)
    assert exports.find(tmp_path, SOURCE) == refusal
    put(tmp_path, replace(refusal, made_by="torch 1.0"))
    assert exports.find(tmp_path, SOURCE) is None


def test_a_model_whose_files_are_not_known_has_no_export(tmp_path: Path):
    assert exports.find(tmp_path, Source("m", "org/m", "")) is None


def test_the_versions_that_exports_depend_on_are_named():
    assert "onnxruntime 1." in exports.made_by()
    assert "none" not in exports.made_by()
