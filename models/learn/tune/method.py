"""What of a network is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from models.learn.tune import lora
from models.learn.tune.backbone import Backbone

How = Literal["frozen", "lora", "full"]
RATES: dict[How, float] = {"frozen": 3e-3, "lora": 1e-3, "full": 1e-4}
"""Top learning rates of AdamW where nothing else is said."""


@dataclass(frozen=True)
class Method:
    """`how`  "frozen": the head only; "lora": the head and changes of rank `rank`, scaled by `alpha` / rank;
    "full": everything. Running statistics (BatchNorm) move only with "full"."""

    how: How = "lora"
    rank: int = 8
    alpha: float = 16.0


def apply(method: Method, backbone: Backbone) -> None:
    """Mark what is trained, adding low-rank changes where they are asked for. Raises ValueError."""
    backbone.module.requires_grad_(method.how == "full")
    if method.how == "lora":
        lora.add(backbone.module, method.rank, method.alpha, backbone.head)
    backbone.layer.requires_grad_(True)


def train_mode(method: Method, module: nn.Module) -> None:
    """Training mode; without "full" nothing that keeps statistics or drops activations takes part."""
    module.train(method.how == "full")


def trained(module: nn.Module) -> int:
    """How many weights are trained."""
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
