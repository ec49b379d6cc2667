"""One network in every form it can run in on a CPU: torch's own, and the runtimes of `models.backends`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.backends.export import LOGITS, OPSET, PIXELS, export
from models.backends.quantise import careful
from models.backends.runtimes import BF16_RUNTIMES, RUNTIMES, Floats, installed
from models.classifier import Classifier
from models.learn.data import Example

Form = Callable[[Floats], Any]
"""Judges pixels (batch, 3, height, width)."""
FLOAT = ("eager", "channels-last", "folded", "compiled")
"""What torch alone offers in float32."""


def torch_form(model: nn.Module, layout: torch.memory_format) -> Form:
    model = model.to(memory_format=layout)  # type: ignore[call-overload]

    def judge(pixels: Floats) -> Any:
        with torch.inference_mode():
            shown = torch.from_numpy(pixels).to(memory_format=layout)
            return model(pixel_values=shown).logits.numpy()

    return judge


def folded(model: nn.Module) -> nn.Module:
    """A copy whose batch normalisations are part of the convolutions before them."""
    model = copy.deepcopy(model)
    for parent in list(model.modules()):
        children = list(parent.named_children())
        for (name, first), (after, second) in pairwise(children):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(first, second))
                setattr(parent, after, nn.Identity())
    return model


def torch_forms(tier: Classifier, *, compiled: bool) -> dict[str, Form]:
    network = tier.network
    plain = copy.deepcopy(network)
    forms = {
        "eager": torch_form(plain, torch.contiguous_format),
        "channels-last": torch_form(copy.deepcopy(network), torch.channels_last),
        "folded": torch_form(folded(network), torch.channels_last),
    }
    if compiled:
        forms["compiled"] = torch_form(torch.compile(folded(network), dynamic=False), torch.channels_last)
    return forms


def runtime_forms(
    tier: Classifier, shape: tuple[int, int], folder: Path, threads: int, *, bf16: bool
) -> dict[str, Form]:
    """Those that are installed, and those that compute in bfloat16, which a CPU without it would emulate."""
    file = folder / f"{tier.version}.onnx"
    export(tier.network, len(tier.head.labels), shape, file)
    forms: dict[str, Form] = {name: RUNTIMES[name](file, threads) for name in installed()}
    if bf16:
        forms |= {
            f"{name} bf16": BF16_RUNTIMES[name](file, threads) for name in forms if name in BF16_RUNTIMES
        }
    return forms


def copies(tier: Classifier, calibrating: Sequence[Example], folder: Path, threads: int) -> dict[str, Form]:
    """An int8 copy in each runtime, that asks float32 again where it is close; after `runtime_forms`."""
    copy = folder / f"{tier.version}-int8.onnx"
    made = careful(tier, calibrating, copy, folder / f"{tier.version}.onnx", threads)
    return {f"{name} int8": runner for name, runner in made.items()}


def matmul_peak(clock: Callable[[], float], folder: Path, threads: int) -> float:
    """Best float32 GFLOP/s of a matrix product, over torch, numpy and the runtimes, and three sizes. (On
    another maker's CPU torch's own library leaves half of the vector unit unused.)"""
    best = 0.0
    for size in (512, 1024, 1536):
        left, right = torch.rand(size, size), torch.rand(size, size)
        products = [partial(torch.mm, left, right), partial(np.matmul, left.numpy(), right.numpy())]
        file = _product(right.numpy(), folder / f"product-{size}.onnx")
        products += [partial(RUNTIMES[name](file, threads), left.numpy()) for name in installed()]
        for product in products:
            product()
            for _ in range(4):
                start = clock()
                product()
                best = max(best, 2 * size**3 / max(clock() - start, 1e-9) / 1e9)
    return best


def _product(right: Floats, file: Path) -> Path:
    """A model that is one product: pixels (any, n) times `right` (n, n)."""
    shape = ["rows", right.shape[0]]
    told = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in (PIXELS, LOGITS)
    ]
    node = onnx.helper.make_node("MatMul", [PIXELS, "right"], [LOGITS])
    weights = [onnx.numpy_helper.from_array(right, "right")]
    graph = onnx.helper.make_graph([node], "product", told[:1], told[1:], weights)
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), str(file))
    return file
