"""torchao_int8, torchao_fp8: linear layers by torchao, for what it is good at: GPUs, and compiled models.

`kind` "weights" (the default) stores weights in eight bits, one scale an output, and computes in the model's
precision; "dynamic" rounds activations too, by token, and multiplies in eight bits. FP8 "dynamic" needs
compute capability 8.9.

torchao is an extra (pip install -e '.[quantise]'), not least because transformers imports it wherever it is
installed, which makes every process that loads a model slower to start.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from models.compress.step import Step
from models.compress.weights.linears import decoder_linears

KINDS = ("weights", "dynamic")
_CONFIGS = {
    ("int8", "weights"): "Int8WeightOnlyConfig",
    ("int8", "dynamic"): "Int8DynamicActivationInt8WeightConfig",
    ("fp8", "weights"): "Float8WeightOnlyConfig",
    ("fp8", "dynamic"): "Float8DynamicActivationFloat8WeightConfig",
}
FP8_LEAST = (8, 9)


def int8(model: nn.Module, step: Step) -> None:
    """Raises ValueError when torchao is not installed."""
    _convert(model, step, "int8")


def fp8(model: nn.Module, step: Step) -> None:
    """Raises ValueError when torchao is not installed, or no GPU multiplies FP8 though activations are to be
    FP8."""
    _convert(model, step, "fp8")


def _convert(model: nn.Module, step: Step, number: str) -> None:
    kind = step.word("kind", KINDS)
    if find_spec("torchao") is None:
        raise ValueError(f"{step}: torchao is not installed (pip install -e '.[quantise]')")
    if (number, kind) == ("fp8", "dynamic") and not _multiplies_fp8():
        raise ValueError(f"{step}: no GPU here multiplies FP8 (compute capability 8.9): use kind=weights")
    from torchao import quantization

    ours = {id(layer) for _, _, layer in decoder_linears(model, step)}
    config: Any = getattr(quantization, _CONFIGS[number, kind])()
    quantization.quantize_(model, config, filter_fn=lambda layer, name: id(layer) in ours)


def _multiplies_fp8() -> bool:
    return torch.cuda.is_available() and torch.cuda.get_device_capability() >= FP8_LEAST
