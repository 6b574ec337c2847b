"""Turn a model of sentence-transformers into a graph of eight-bit numbers for onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from memory_svc.embedding.onnx_encoder import IDS, MASK, OUTPUT

# Two short texts of different lengths, so that no size is taken for a constant or a limit.
_EXAMPLE = ["Two sizes.", "Vary."]


class ConversionError(Exception):
    """The model cannot be converted by these libraries; the message says why."""


def to_graph(model: Any, file: Path) -> None:
    """Write `model`, from tokens to normalised vectors, as a graph. Raises `ConversionError`."""
    import torch  # noqa: PLC0415  # seconds

    class Whole(torch.nn.Module):
        """The model with all its layers, called as a graph is: by tensors."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            features = self.model({IDS: ids, MASK: mask})
            return torch.nn.functional.normalize(features["sentence_embedding"], dim=1)

    try:
        example = model.tokenizer(_EXAMPLE, padding=True, return_tensors="pt")
        sizes = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens")}
        torch.onnx.export(
            Whole().eval(),
            (example[IDS], example[MASK]),
            file,
            input_names=[IDS, MASK],
            output_names=[OUTPUT],
            dynamic_shapes=(sizes, sizes),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    except (OSError, MemoryError):  # the machine's fault: another time it may do
        raise
    except Exception as error:  # its libraries raise of every kind
        raise ConversionError(_said("torch cannot export the model", error)) from error


def to_int8(graph: Path, file: Path, *, seven_bits: bool) -> None:
    """Write `graph` with eight-bit weights, a scale for each channel. Raises `ConversionError`.

    With `seven_bits` the sums cannot overflow on a CPU without VNNI.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415  # seconds

    try:
        quantize_dynamic(
            graph,
            file,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
            per_channel=True,
            reduce_range=seven_bits,
            weight_type=QuantType.QInt8,
        )
    except (OSError, MemoryError):
        raise
    except Exception as error:  # its libraries raise of every kind
        raise ConversionError(_said("onnxruntime cannot quantise the model", error)) from error


def save_tokenizer(model: Any, file: Path) -> int:
    """Write the model's tokenizer; return the token that pads. Raises `ConversionError`."""
    tokenizer = getattr(model.tokenizer, "backend_tokenizer", None)
    if tokenizer is None:
        raise ConversionError("its tokenizer is not one of the library tokenizers")
    tokenizer.save(str(file))
    return int(model.tokenizer.pad_token_id or 0)


def pooling(model: Any) -> str:
    """Name how token vectors become one, as far as the model says; for people who ask."""
    modes = [getattr(layer, "pooling_mode", None) for layer in model]
    return ", ".join(str(mode) for mode in modes if mode) or "its own"


def _said(what: str, error: BaseException) -> str:
    """Word an error by its first cause, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    first = str(error).strip().partition("\n")[0]
    return f"{what}: {type(error).__name__}: {first}"
