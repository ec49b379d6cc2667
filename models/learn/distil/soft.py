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
    """`weight` of the labels in [0, 1], the rest is the teacher's. `temperature` softens both sides; the loss
    is scaled by its square, so that gradients keep their size."""

    def __init__(
        self, teacher: Soft, weight: float, smoothing: float = 0.0, temperature: float = 1.0
    ) -> None:
        super().__init__()
        if not 0 <= weight <= 1:
            raise ValueError(f"the labels' weight must lie in [0, 1], not {weight}")
        self._teacher = teacher
        self.weight, self.temperature = weight, temperature
        self.labels = Labels(smoothing)

    def forward(self, seen: Seen, step: int) -> torch.Tensor:
        own: torch.Tensor = self.labels(seen, step)
        if self.weight == 1:
            return own
        told = (self._teacher(seen.views) / self.temperature).sigmoid()
        taught = functional.binary_cross_entropy_with_logits(seen.log_odds / self.temperature, told)
        return self.weight * own + (1 - self.weight) * self.temperature**2 * taught
