"""VL2Lite: visual and linguistic knowledge of an image-and-text model, condensed for a small student.

Jang, Ma and Lee, "VL2Lite: task-specific knowledge distillation from large vision-language models to
lightweight networks", CVPR 2025. Written from the paper's formulas:

    c = norm(MLP(t))                        the teacher's features t, condensed to the student's width
    visual      mean |norm(h) - c_v|        h the student's features of the same view
    linguistic  T^2 / 2 KL( softmax(s t_v t_l^T / T) || softmax(s norm(h) c_l^T / T) ), mean over the batch
    loss        w CE + (1 - w) (visual + linguistic) / 2

Two differences. The paper's texts are its classes: with two of them the linguistic target is one number an
image, so texts are attributes here (`anchors`: cones, signs, and what looks like them), while the labels stay
binary. And w is one number, where the paper's code lets it climb from 0 to 1/8 over the whole training.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from models.learn.distil.teachers import ImageText
from models.learn.tune.training import Labels, Seen

SCALE = 1 / 0.07
TEMPERATURE = 2.0


class VL2Lite(nn.Module):
    """Trains its two condensers with the student; nothing of it is served. `weight` of the labels in
    [0, 1]."""

    def __init__(
        self,
        teacher: ImageText,
        width: int,
        *,
        weight: float = 0.5,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= weight <= 1:
            raise ValueError(f"the labels' weight must lie in [0, 1], not {weight}")
        self._teacher, self._weight = teacher, weight
        self.labels = Labels(smoothing)
        self.visual = condenser(teacher.width, width)
        self.linguistic = condenser(teacher.width, width)

    def forward(self, seen: Seen, step: int) -> torch.Tensor:
        own: torch.Tensor = self.labels(seen, step)
        if self._weight == 1:
            return own
        images, texts = self._teacher.look(seen.views), self._teacher.anchors.to(seen.views)
        look = visual_loss(seen.features, self.visual(images))
        word = linguistic_loss(seen.features, self.linguistic(texts), images, texts)
        return self._weight * own + (1 - self._weight) * (look + word) / 2


def condenser(wide: int, narrow: int) -> nn.Sequential:
    """From the teacher's width down (or up) to the student's."""
    return nn.Sequential(nn.Linear(wide, narrow), nn.ReLU(), nn.Linear(narrow, narrow))


def visual_loss(features: torch.Tensor, condensed: torch.Tensor) -> torch.Tensor:
    """(batch, width) each; directions are compared, lengths are not."""
    return (_unit(features) - _unit(condensed)).abs().mean()


def linguistic_loss(
    features: torch.Tensor, condensed: torch.Tensor, images: torch.Tensor, texts: torch.Tensor
) -> torch.Tensor:
    """`features` (batch, width) beside `condensed` texts (anchors, width) against the teacher's own `images`
    (batch, wide) beside `texts` (anchors, wide), which have unit length."""
    target = functional.softmax(SCALE * images @ texts.T / TEMPERATURE, dim=1)
    said = functional.log_softmax(SCALE * _unit(features) @ _unit(condensed).T / TEMPERATURE, dim=1)
    return TEMPERATURE**2 / 2 * functional.kl_div(said, target, reduction="batchmean")


def _unit(rows: torch.Tensor) -> torch.Tensor:
    return functional.normalize(rows, dim=1)
