"""Export a model once, as a program of its own: `python -m memory_svc.embedding.export`.

torch and its memory end with this process, which gives way to others. The export
appears in one step when it is whole and agrees with torch; what a killed one left is
swept by the next.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import shutil
import sys
import threading
import warnings
from dataclasses import replace
from pathlib import Path

from memory_svc.embedding import exports, sources
from memory_svc.embedding.agreement import Agreement, agreement
from memory_svc.embedding.base import EmbeddingError
from memory_svc.embedding.conversion import (
    ConversionError,
    pooling,
    save_tokenizer,
    to_graph,
    to_int8,
)
from memory_svc.embedding.exports import CANNOT_LOAD, GRAPH, TOKENIZER, Export, Manifest, Refusal
from memory_svc.embedding.onnx_encoder import OnnxEncoder
from memory_svc.embedding.sources import Source
from memory_svc.embedding.torch_encoder import TorchEncoder
from svckit.folders import make_private_folder

_NICENESS = 10
_PARTIAL = ".partial"


def main() -> int:
    """Export the model that the arguments name; say on stderr what went wrong."""
    parser = argparse.ArgumentParser(description="Export an embedding model to int8 ONNX.")
    parser.add_argument("model", help="as in memory.embedding_model")
    parser.add_argument("models", type=Path, help="the folder of exported models")
    parser.add_argument("--default-folder", type=Path, help="where the default's weights are")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input does")
    args = parser.parse_args()
    os.nice(_NICENESS)
    os.umask(0o077)
    if args.until_eof:
        threading.Thread(target=_end_with_input, daemon=True).start()
    _quiet()
    try:
        torch = TorchEncoder(sources.find(args.model, args.default_folder), device="cpu")
    except EmbeddingError as error:
        print(error, file=sys.stderr)  # noqa: T201  # what its parent reads
        return CANNOT_LOAD
    # Loading may have fetched it into the hub's cache: only now its files are known.
    source = sources.find(args.model, args.default_folder)
    if not source.key:
        print(f"the files of {source.opened} are not in the hub's cache", file=sys.stderr)  # noqa: T201
        return 1
    export(torch, source, args.models)
    return 0


def export(torch: TorchEncoder, source: Source, models: Path) -> Export | Refusal:
    """Put the export of a loaded model into `models`, or why there can be none."""
    make_private_folder(models)
    for left in models.glob(f".*{_PARTIAL}"):
        shutil.rmtree(left)
    partial = models / f".{source.key}{_PARTIAL}"
    partial.mkdir(mode=0o700)
    content: Manifest | Refusal
    try:
        content = _make(torch, source, partial)
    except ConversionError as error:
        shutil.rmtree(partial)
        partial.mkdir(mode=0o700)
        content = Refusal(exports.FORMAT, str(error), exports.made_by())
    exports.put(models, source.key, partial, content)
    return Export(models / source.key, content) if isinstance(content, Manifest) else content


def _make(torch: TorchEncoder, source: Source, partial: Path) -> Manifest:
    """Write graph and tokenizer into `partial`. Raises `ConversionError` if they are no good."""
    whole = partial / "whole.onnx"
    to_graph(torch.loaded, whole)
    pad_id = save_tokenizer(torch.loaded, partial / TOKENIZER)
    said = []
    # Seven bits lose a little more, but only eight can overflow on an older CPU.
    for seven_bits in (False, True):
        to_int8(whole, partial / GRAPH, seven_bits=seven_bits)
        manifest = _manifest(torch, source, partial, pad_id)
        found = _agreement(torch, Export(partial, manifest))
        if found.is_good:
            whole.unlink()
            return replace(manifest, agreement_mean=found.mean, agreement_least=found.least)
        said.append(f"{found} with {7 if seven_bits else 8} bits")
    raise ConversionError(f"the export does not agree with torch: {'; '.join(said)}")


def _manifest(torch: TorchEncoder, source: Source, partial: Path, pad_id: int) -> Manifest:
    """Describe the export in `partial`, all but its agreement."""
    prompts = torch.loaded.prompts
    return Manifest(
        format=exports.FORMAT,
        model=f"{source.model}@{exports.QUANTISATION}",
        source=source.fingerprint,
        quantisation=exports.QUANTISATION,
        dimensions=torch.dimensions,
        max_tokens=torch.max_tokens,
        pad_id=pad_id,
        pooling=pooling(torch.loaded),
        query_prompt=prompts.get("query") or "",
        document_prompt=prompts.get("document") or "",
        agreement_mean=0.0,
        agreement_least=0.0,
        made_by=exports.made_by(),
        sha256={
            name: hashlib.sha256((partial / name).read_bytes()).hexdigest()
            for name in (GRAPH, TOKENIZER)
        },
    )


def _agreement(torch: TorchEncoder, made: Export) -> Agreement:
    try:
        return agreement(torch, OnnxEncoder(made))
    except EmbeddingError as error:
        raise ConversionError(str(error)) from error


def _end_with_input() -> None:
    """End when whoever started this is gone, even after kill -9."""
    # Not by sys.stdin, whose lock an exiting interpreter would find taken.
    while os.read(0, 1024):
        pass
    os._exit(1)


def _quiet() -> None:
    """Keep what the libraries tell developers off stderr."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
