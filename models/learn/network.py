"""The network that is trained: MobileNetV2 with two labels, BatchNorm made fit for training, saved small."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

LABELS = {0: "None", 1: "Roadwork"}
PREPROCESSING = {
    "image_processor_type": "MobileNetV2ImageProcessor",
    "do_resize": True,
    "size": {"height": 224, "width": 224},
    "resample": 2,
    "do_center_crop": False,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
"""224 px with both axes scaled apart, as the reference miner's pipeline does; to [-1, 1]."""


def open_network(init: Path | None, seed: int, width: float = 1.0) -> MobileNetV2ForImageClassification:
    """What is in `init` with a fresh two-label head drawn from `seed`; all random without `init`."""
    torch.manual_seed(seed)
    names: dict[str, Any] = {"id2label": LABELS, "label2id": {name: index for index, name in LABELS.items()}}
    if init is None:
        config = MobileNetV2Config(depth_multiplier=width, tf_padding=True, **names)
        return MobileNetV2ForImageClassification(config)
    network = MobileNetV2ForImageClassification.from_pretrained(
        init, num_labels=2, ignore_mismatched_sizes=True, dtype=torch.float32, local_files_only=True, **names
    )
    head = network.classifier
    assert isinstance(head, nn.Linear)
    nn.init.normal_(head.weight, std=0.01)
    nn.init.zeros_(head.bias)
    return network


def norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


@torch.no_grad()
def revive_norms(network: nn.Module, batches: Iterable[torch.Tensor], momentum: float) -> None:
    """Give folded BatchNorms real statistics without changing what the network computes in evaluation mode.

    Each layer's input mean and variance are measured over `batches`; then its running statistics are set to
    those, and weight and bias so that the layer's function stays as it was. Also sets `momentum`
    (transformers leaves one at which only the last batch counts).
    """
    layers = norms(network)
    sums = {layer: torch.zeros(3, layer.num_features, dtype=torch.float64) for layer in layers}

    def watch(layer: nn.BatchNorm2d, inputs: tuple[torch.Tensor, ...], _: torch.Tensor) -> None:
        channels = inputs[0].double().transpose(0, 1).flatten(1)
        sums[layer] += torch.stack(
            [torch.full_like(channels[:, 0], channels.shape[1]), channels.sum(1), channels.square().sum(1)]
        )

    hooks = [layer.register_forward_hook(watch) for layer in layers]
    network.eval()
    for batch in batches:
        network(pixel_values=batch)
    for hook in hooks:
        hook.remove()
    for layer in layers:
        count, total, squares = sums[layer]
        mean = total / count
        _rewrite(layer, mean, (squares / count - mean.square()).clamp_min(0))
        layer.momentum = momentum


def _rewrite(layer: nn.BatchNorm2d, mean: torch.Tensor, variance: torch.Tensor) -> None:
    assert layer.running_mean is not None and layer.running_var is not None
    slope = layer.weight.double() / (layer.running_var.double() + layer.eps).sqrt()
    offset = layer.bias.double() - slope * layer.running_mean.double()
    layer.weight.copy_(slope * (variance + layer.eps).sqrt())
    layer.bias.copy_(offset + slope * mean)
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(variance)


def blocks(network: MobileNetV2ForImageClassification) -> list[nn.Module]:
    """The network's parts from the image on: the stem, the inverted residuals, the last convolution."""
    body = network.mobilenet_v2
    return [body.conv_stem, *body.layer, body.conv_1x1]


def freeze(network: MobileNetV2ForImageClassification, count: int) -> None:
    """Keep the first `count` of `blocks` as they are: no gradients.

    What edges and colours look like is known from ImageNet already, and these blocks have the largest
    pictures: without them a step takes 1.1 s instead of 1.8 s (batch 32 at 192 px, two AVX2 cores, count 6).
    """
    for block in blocks(network)[:count]:
        block.requires_grad_(False)


def train_mode(network: MobileNetV2ForImageClassification) -> None:
    """Training mode for all but what `freeze` froze, whose statistics stay as they are too."""
    network.train()
    for block in blocks(network):
        if not any(parameter.requires_grad for parameter in block.parameters()):
            block.eval()


class Average:
    """Exponential moving average of a network's weights and statistics, warming up over its first steps."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self.steps += 1
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - keep)
            else:
                self.state[name].copy_(value)


def save(network: MobileNetV2ForImageClassification, folder: Path) -> None:
    """Write the transformers folder: half-precision weights, labels, preprocessing."""
    folder.mkdir(parents=True, exist_ok=True)
    small = MobileNetV2ForImageClassification(network.config)
    small.load_state_dict(network.state_dict())
    halved: nn.Module = small
    halved.to(torch.float16)
    small.save_pretrained(folder)
    write_json(folder / "preprocessor_config.json", PREPROCESSING)


def write_calibration(folder: Path, calibration: dict[str, float]) -> None:
    """Write what `models.calibration` reads."""
    write_json(folder / "calibration.json", calibration)


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
