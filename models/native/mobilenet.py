"""MobileNetV2 with a classifier on top: Sandler et al., CVPR 2018, as transformers stores it.

How wide its layers are is read off the weights, so that `config.json` is asked only for what they do not
tell.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

CONFIG, WEIGHTS = "config.json", "model.safetensors"
STRIDES = (2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)
"""Of the inverted residuals, where the last map has a cell for every 32 px."""

_ONLY: Mapping[str, Any] = {
    "model_type": "mobilenet_v2",
    "first_layer_is_expansion": True,
    "hidden_act": "relu6",
    "num_channels": 3,
    "output_stride": 32,
}
"""What is written out here; transformers takes the same where the file is silent (but for the type)."""


@dataclass(frozen=True)
class Config:
    """Of `config.json`. `eps` of the normalisations; `tf_padding`: where a stride leaves one pixel over, it
    is padded at the right and at the bottom."""

    id2label: dict[int, str]
    problem_type: str | None
    eps: float
    tf_padding: bool


@dataclass(frozen=True)
class Logits:
    """`logits` (batch, labels)."""

    logits: Tensor


@dataclass(frozen=True)
class Maps:
    """`last_hidden_state` (batch, channels, height / 32, width / 32)."""

    last_hidden_state: Tensor


class Convolution(nn.Module):
    """A convolution of `shape` (out, in of each group, kernel, kernel), its normalisation, perhaps ReLU6."""

    def __init__(self, shape: torch.Size, config: Config, *, stride: int = 1, active: bool = True) -> None:
        super().__init__()
        out, each, kernel, _ = shape
        groups = out if each == 1 else 1
        self._uneven = config.tf_padding and stride > 1
        padding = 0 if self._uneven else kernel // 2
        self.convolution = nn.Conv2d(
            each * groups, out, kernel, stride, padding=padding, groups=groups, bias=False
        )
        self.normalization: nn.Module | None = nn.BatchNorm2d(out, eps=config.eps)
        self.activation = nn.ReLU6() if active else None

    def forward(self, features: Tensor) -> Tensor:
        if self._uneven:
            features = functional.pad(features, self._padding(features))
        features = self.convolution(features)
        if self.normalization is not None:
            features = self.normalization(features)
        return features if self.activation is None else self.activation(features)

    def _padding(self, features: Tensor) -> list[int]:
        """(left, right, top, bottom): as many cells come out as strides begin in the picture."""
        found = []
        for axis in (1, 0):
            kernel, stride = self.convolution.kernel_size[axis], self.convolution.stride[axis]
            over = int(features.shape[axis - 2]) % stride
            along = max(kernel - (over or stride), 0)
            found += [along // 2, along - along // 2]
        return found


class Stem(nn.Module):
    """From the picture to half its size."""

    def __init__(self, shapes: _Shapes, config: Config) -> None:
        super().__init__()
        self.first_conv = Convolution(shapes("first_conv"), config, stride=2)
        self.conv_3x3 = Convolution(shapes("conv_3x3"), config)
        self.reduce_1x1 = Convolution(shapes("reduce_1x1"), config, active=False)

    def forward(self, features: Tensor) -> Tensor:
        reduced: Tensor = self.reduce_1x1(self.conv_3x3(self.first_conv(features)))
        return reduced


class Block(nn.Module):
    """An inverted residual."""

    def __init__(self, shapes: _Shapes, config: Config, stride: int) -> None:
        super().__init__()
        self.expand_1x1 = Convolution(shapes("expand_1x1"), config)
        self.conv_3x3 = Convolution(shapes("conv_3x3"), config, stride=stride)
        self.reduce_1x1 = Convolution(shapes("reduce_1x1"), config, active=False)
        self._residual = stride == 1 and shapes("expand_1x1")[1] == shapes("reduce_1x1")[0]

    def forward(self, features: Tensor) -> Tensor:
        reduced: Tensor = self.reduce_1x1(self.conv_3x3(self.expand_1x1(features)))
        return features + reduced if self._residual else reduced


class Body(nn.Module):
    """Everything before the pooling."""

    def __init__(self, shapes: _Shapes, config: Config) -> None:
        super().__init__()
        self.conv_stem = Stem(shapes.of("conv_stem"), config)
        self.layer = nn.ModuleList(
            Block(shapes.of(f"layer.{number}"), config, stride) for number, stride in enumerate(STRIDES)
        )
        self.conv_1x1 = Convolution(shapes("conv_1x1"), config)

    def forward(self, pixel_values: Tensor) -> Maps:
        """(batch, 3, height, width) -> its last map."""
        features = self.conv_stem(pixel_values)
        for block in self.layer:
            features = block(features)
        return Maps(self.conv_1x1(features))


class MobileNetV2(nn.Module):
    """`weights` by transformers' names, which tell the widths. Raises KeyError where one is missing."""

    def __init__(self, weights: Mapping[str, Tensor], config: Config) -> None:
        super().__init__()
        self.config = config
        self.mobilenet_v2 = Body(_Shapes(weights, "mobilenet_v2"), config)
        labels, width = weights["classifier.weight"].shape
        self.classifier = nn.Linear(width, labels)

    def forward(self, pixel_values: Tensor) -> Logits:
        """(batch, 3, height, width) -> the labels' logits."""
        last = self.mobilenet_v2(pixel_values).last_hidden_state
        return Logits(self.classifier(functional.adaptive_avg_pool2d(last, 1).flatten(1)))


@dataclass(frozen=True)
class _Shapes:
    """Shapes of the convolutions in a part of the network."""

    weights: Mapping[str, Tensor]
    part: str

    def of(self, name: str) -> _Shapes:
        return _Shapes(self.weights, f"{self.part}.{name}")

    def __call__(self, name: str) -> torch.Size:
        return self.weights[f"{self.part}.{name}.convolution.weight"].shape


def read(folder: Path) -> Config | None:
    """None when this is not a MobileNetV2 as it is written out here, in one file: ask transformers."""
    try:
        told = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    usual = {**_ONLY, "model_type": ""}
    if not isinstance(told, dict) or any(told.get(name, usual[name]) != only for name, only in _ONLY.items()):
        return None
    if not told.get("id2label") or not (folder / WEIGHTS).is_file():
        return None
    return Config(
        {int(index): str(label) for index, label in told["id2label"].items()},
        told.get("problem_type"),
        eps=float(told.get("layer_norm_eps", 0.001)),
        tf_padding=bool(told.get("tf_padding", True)),
    )


def load(folder: Path, config: Config) -> MobileNetV2:
    """In single precision on the CPU, in evaluation mode, without gradients. Raises OSError, SafetensorError,
    KeyError or RuntimeError when the weights are not there or do not fit together."""
    weights = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in load_file(folder / WEIGHTS).items()
    }
    with torch.device("meta"):  # nothing is drawn at random only to be written over
        network = MobileNetV2(weights, config)
    network.load_state_dict(weights, assign=True)
    return network.train(False).requires_grad_(False)
