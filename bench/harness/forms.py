"""One network in every form it can run in on a CPU: torch's own, and the runtimes of `models.backends`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.backends.export import export
from models.backends.runtimes import RUNTIMES, Floats, installed
from models.classifier import Classifier

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


def runtime_forms(tier: Classifier, shape: tuple[int, int], folder: Path, threads: int) -> dict[str, Form]:
    """Those that are installed."""
    file = folder / f"{tier.version}.onnx"
    export(tier.network, len(tier.head.labels), shape, file)
    return {name: RUNTIMES[name](file, threads) for name in installed()}


def copies(file: Path, threads: int) -> dict[str, Form]:
    """The int8 copy of a model in the runtimes that take it."""
    return {f"{name} int8": RUNTIMES[name](file, threads) for name in installed()}


def matmul_peak(clock: Callable[[], float]) -> float:
    """Best float32 GFLOP/s of a matrix product, over torch and numpy and three sizes."""
    best = 0.0
    for size in (512, 1024, 1536):
        left, right = torch.rand(size, size), torch.rand(size, size)
        products = (partial(torch.mm, left, right), partial(np.matmul, left.numpy(), right.numpy()))
        for product in products:
            product()
            for _ in range(4):
                start = clock()
                product()
                best = max(best, 2 * size**3 / max(clock() - start, 1e-9) / 1e9)
    return best
