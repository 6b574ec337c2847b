"""Genuine sentence-transformers models that are small enough to be made for a test."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

WIDTH, INNER, LAYERS, HEADS, MOST_TOKENS = 32, 64, 2, 2, 24
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_LETTERS = string.ascii_lowercase + string.digits + string.punctuation
_VOCABULARY = (*_SPECIAL, *_LETTERS, *(f"##{letter}" for letter in _LETTERS))

Tensors = dict[str, NDArray[np.float32]]


def make_tiny_model(folder: Path, *, bad_for_int8: bool = False, **prompts: str) -> Path:
    """Write a model that reads letter by letter, with weights by chance but always the same.

    With `bad_for_int8` its values lie so far apart that eight bits cannot hold them.
    """
    (folder / "1_Pooling").mkdir(parents=True)
    weights = _weights()
    if bad_for_int8:
        weights["embeddings.word_embeddings.weight"][_VOCABULARY.index("[MASK]")] = 1e4
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _tokenizer().save(str(folder / "tokenizer.json"))
    for name, content in _configuration(prompts).items():
        (folder / name).write_text(json.dumps(content))
    return folder


def make_tiny_cross_encoder(folder: Path) -> Path:
    """Write a model that gives a question and a text one score, by weights of chance."""
    folder.mkdir(parents=True)
    weights = {f"bert.{name}": values for name, values in _weights().items()}
    chance = np.random.default_rng(11)
    weights["classifier.weight"] = chance.normal(0, 1, (1, WIDTH)).astype(np.float32)
    weights["classifier.bias"] = np.zeros(1, dtype=np.float32)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _tokenizer().save(str(folder / "tokenizer.json"))
    configuration = _configuration({})
    model = {"architectures": ["BertForSequenceClassification"], "num_labels": 1}
    for name, content in (
        ("config.json", configuration["config.json"] | model),
        ("tokenizer_config.json", configuration["tokenizer_config.json"]),
    ):
        (folder / name).write_text(json.dumps(content))
    return folder


def _weights() -> Tensors:
    chance = np.random.default_rng(7)
    weights: Tensors = {}

    def add(name: str, *shape: int) -> None:
        weights[f"{name}.weight"] = chance.normal(0, 0.15, shape).astype(np.float32)

    def add_dense(name: str, out: int, into: int) -> None:
        add(name, out, into)
        weights[f"{name}.bias"] = chance.normal(0, 0.05, out).astype(np.float32)

    def add_norm(name: str) -> None:
        weights[f"{name}.weight"] = np.ones(WIDTH, dtype=np.float32)
        weights[f"{name}.bias"] = np.zeros(WIDTH, dtype=np.float32)

    add("embeddings.word_embeddings", len(_VOCABULARY), WIDTH)
    add("embeddings.position_embeddings", MOST_TOKENS, WIDTH)
    add("embeddings.token_type_embeddings", 2, WIDTH)
    add_norm("embeddings.LayerNorm")
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        for part in ("query", "key", "value"):
            add_dense(f"{layer}.attention.self.{part}", WIDTH, WIDTH)
        add_dense(f"{layer}.attention.output.dense", WIDTH, WIDTH)
        add_norm(f"{layer}.attention.output.LayerNorm")
        add_dense(f"{layer}.intermediate.dense", INNER, WIDTH)
        add_dense(f"{layer}.output.dense", WIDTH, INNER)
        add_norm(f"{layer}.output.LayerNorm")
    add_dense("pooler.dense", WIDTH, WIDTH)
    return weights


def _tokenizer() -> Tokenizer:
    vocabulary = {token: number for number, token in enumerate(_VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return tokenizer


def _configuration(prompts: dict[str, str]) -> dict[str, Any]:
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    return {
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "vocab_size": len(_VOCABULARY),
            "hidden_size": WIDTH,
            "intermediate_size": INNER,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "max_position_embeddings": MOST_TOKENS,
            "type_vocab_size": 2,
            "pad_token_id": 0,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "BertTokenizer",
            "model_max_length": MOST_TOKENS,
            **{f"{token[1:-1].lower()}_token": token for token in _SPECIAL},
        },
        "sentence_bert_config.json": {"max_seq_length": MOST_TOKENS, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": prompts},
        "1_Pooling/config.json": {
            "word_embedding_dimension": WIDTH,
            "pooling_mode_mean_tokens": True,
        },
        "modules.json": [
            {
                "idx": number,
                "name": str(number),
                "path": path,
                "type": f"sentence_transformers.models.{kind}",
            }
            for number, (path, kind) in enumerate(modules)
        ],
    }
