"""The embedded backbone with a linear head on every cell of two of its maps instead of one on their mean.

Map `coarse` is the backbone's last (1280 channels, a cell for every 32 px), `fine` the last one of twice that
resolution (96 channels). The backbone's weights are the classifier's own and stay frozen: only the head is
stored, and what the fine map adds to the coarse one is what the classifier's pooling loses.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.scenes.stencil import LABELS

FINE_BLOCK = 11
"""Index of the last inverted residual before the backbone goes from a cell for 16 px to one for 32."""

Maps = tuple[torch.Tensor, torch.Tensor]
"""(coarse, fine) of one shape of image."""


class Backbone(nn.Module):
    """MobileNetV2 as far as its two maps, BatchNorms folded into their convolutions (a third faster)."""

    def __init__(self, network: nn.Module) -> None:
        """`network` a MobileNetV2 classifier, ours or transformers'."""
        super().__init__()
        model: Any = network.mobilenet_v2
        self.stem, self.last = model.conv_stem, model.conv_1x1
        self.blocks = nn.ModuleList(model.layer)
        self.channels = _channels(self.last), _channels(self.blocks[FINE_BLOCK].reduce_1x1)
        self.eval().requires_grad_(False)
        for module in self.modules():
            layer: Any = module
            if isinstance(getattr(module, "normalization", None), nn.BatchNorm2d):
                layer.convolution = fuse_conv_bn_eval(layer.convolution, layer.normalization)
                layer.normalization = None

    def forward(self, pixels: torch.Tensor) -> Maps:
        """(batch, 3, height, width) in [-1, 1], both multiples of 32 -> the two maps."""
        features = self.stem(pixels)
        fine = features
        for index, block in enumerate(self.blocks):
            features = block(features)
            if index == FINE_BLOCK:
                fine = features
        return self.last(features), fine


def _channels(layer: Any) -> int:
    return int(layer.convolution.out_channels)


class Head(nn.Module):
    """A logit per class of `LABELS` and cell of the fine map."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.coarse = nn.Conv2d(coarse, len(LABELS), 1)
        self.fine = nn.Conv2d(fine, len(LABELS), 1, bias=False)

    def forward(self, maps: Maps) -> torch.Tensor:
        """-> (batch, classes, height / 16, width / 16)."""
        coarse, fine = maps
        wide = functional.interpolate(
            self.coarse(coarse), size=fine.shape[2:], mode="bilinear", align_corners=False
        )
        logits: torch.Tensor = wide + self.fine(fine)
        return logits


def pool(logits: torch.Tensor, sharpness: float) -> torch.Tensor:
    """(batch, classes, height, width) -> (batch, classes): log-sum-exp over the cells, between their mean
    (`sharpness` -> 0) and their maximum (-> infinity).

    (1 / r) log((1 / n) sum exp(r z)): Pinheiro and Collobert, CVPR 2015.
    """
    flat = logits.flatten(2)
    return (torch.logsumexp(sharpness * flat, dim=2) - math.log(flat.shape[2])) / sharpness


@torch.no_grad()
def start_from(head: Head, network: nn.Module) -> None:
    """Begin as the classifier itself, asked about every cell (class activation map: Zhou et al., CVPR 2016):
    class 0 is its roadwork logit less the other, everything else 0."""
    classifier = network.classifier
    assert isinstance(classifier, nn.Linear)
    for parameter in head.parameters():
        parameter.zero_()
    head.coarse.weight[0, :, 0, 0] = classifier.weight[1] - classifier.weight[0]
    head.coarse.bias[0] = classifier.bias[1] - classifier.bias[0]  # type: ignore[index] # it has a bias
    head.coarse.bias[1:] = -3.0  # type: ignore[index]
