"""Low-rank changes of a network's weights: W + (alpha / rank) B A, with B zero in the beginning.

Hu et al., "LoRA: low-rank adaptation of large language models", arXiv 2106.09685. As parametrisations of the
weight, so modules keep their class and whoever reads `weight` sees the changed one. On linear layers and
pointwise convolutions, which is where transformers and mobile networks have nearly all of their weights.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """The change of one weight (outputs, inputs, 1, 1, ...)."""

    def __init__(self, weight: torch.Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        outputs, inputs = weight.shape[:2]
        self.down = nn.Parameter(weight.new_empty(rank, inputs))
        self.up = nn.Parameter(weight.new_zeros(outputs, rank))
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + self.scale * (self.up @ self.down).view_as(weight)


def add(module: nn.Module, rank: int, alpha: float, spare: str) -> int:
    """Give every fitting layer but `spare` (the head) such a change, the only thing in it that is trained;
    how many layers were changed. Raises ValueError when there is none."""
    chosen = [(name, layer) for name, layer in module.named_modules() if name != spare and _fits(layer, rank)]
    if not chosen:
        raise ValueError(f"the network has no linear layer or pointwise convolution for rank {rank}")
    for _, layer in chosen:
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        parametrize.register_parametrization(layer, "weight", LowRank(weight.detach(), rank, alpha))
    return len(chosen)


def merge(module: nn.Module) -> None:
    """Put the changes into the weights; the network computes what it did and is an ordinary one again."""
    for layer in list(module.modules()):
        if parametrize.is_parametrized(layer, "weight"):
            _settle(layer)


def _settle(layer: nn.Module) -> None:
    """Not by torch's own removal: it takes the property off the class, which a copy of the layer shares."""
    weight = layer.weight
    assert isinstance(weight, torch.Tensor)
    plain = nn.Parameter(weight.detach().clone())
    del layer.parametrizations
    layer.__class__ = type(layer).__mro__[1]
    layer.register_parameter("weight", plain)


def _fits(layer: nn.Module, rank: int) -> bool:
    """Exactly these classes: relatives of theirs are often read weight by weight by fused kernels."""
    if type(layer) is nn.Linear:
        return min(layer.in_features, layer.out_features) > rank
    if type(layer) is nn.Conv2d:
        pointwise = layer.kernel_size == (1, 1) and layer.groups == 1
        return pointwise and min(layer.in_channels, layer.out_channels) > rank
    return False
