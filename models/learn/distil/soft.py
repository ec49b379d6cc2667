"""Plain distillation: a part of the loss is the teacher's calibrated answer instead of the label.

Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", arXiv 1503.02531. The teacher sees
the very view that the student sees (Beyer et al., "Knowledge distillation: a good teacher is patient and
consistent", arXiv 2106.05237).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from models.learn.distil.teachers import Soft
from models.learn.tune.training import Labels, Seen


class SoftLabels(nn.Module):
    """`weight` of the labels in [0, 1], the rest is the teacher's. At temperature 1: its log-odds are
    calibrated already."""

    def __init__(self, teacher: Soft, weight: float, smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= weight <= 1:
            raise ValueError(f"the labels' weight must lie in [0, 1], not {weight}")
        self._teacher = teacher
        self.weight = weight
        self.labels = Labels(smoothing)

    def forward(self, seen: Seen, step: int) -> torch.Tensor:
        own: torch.Tensor = self.labels(seen, step)
        if self.weight == 1:
            return own
        told = self._teacher(seen.views).sigmoid()
        taught = functional.binary_cross_entropy_with_logits(seen.log_odds, told)
        return self.weight * own + (1 - self.weight) * taught
