"""A small image-and-text teacher for machines without a large one: attributes learned on rendered scenes.

Which cones, signs and workers a scene shows is known to the renderer. A table of vectors, one an attribute,
is fitted so that scaled products with a classifier's embedding say which attributes are there (softmax over
attributes against their even distribution), as the text side of an image-and-text model would.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from models.classifier import load_classifier
from models.learn.distil.teachers import Table
from models.learn.distil.vl2lite import SCALE
from models.scenes import render_traced
from models.scenes.stencil import LABELS
from models.weights import DEFAULT

ATTRIBUTES = (*LABELS, "nothing of the kind")
SMALLEST = 1e-4
"""Share of the picture below which a part of the works does not count as shown."""


def drawn(folder: Path = DEFAULT, scenes: int = 200, seed: int = 40_000_000, device: str = "cpu") -> Table:
    """Learned on `scenes` rendered for it, over the embedding of the classifier in `folder`."""
    tier = load_classifier(folder, device=device)
    embedder, rows, told = tier.embed(), [], []
    for number in range(scenes):
        image, traced = render_traced(seed + number, number % 2 == 0)
        tier.evidence([tier.prepare(image)])
        rows.append(embedder.take()[0])
        told.append(_shown(np.asarray(traced)))
    features = torch.stack(rows)
    centre = features.mean(dim=0)
    anchors = fit_anchors(functional.normalize(features - centre, dim=1), torch.tensor(told), seed)
    return Table(folder, anchors, centre, device)


def _shown(traced: np.ndarray) -> list[float]:
    """Even over what is there, adding up to 1."""
    shares = np.bincount(traced.ravel(), minlength=len(LABELS) + 1)[1:] / traced.size
    there = [*(shares > SMALLEST).tolist()]
    there.append(not any(there))
    return [each / sum(there) for each in there]


def fit_anchors(images: torch.Tensor, told: torch.Tensor, seed: int, steps: int = 200) -> torch.Tensor:
    """`images` (count, width) of unit length, `told` (count, texts) adding up to 1 -> (texts, width)."""
    generator = torch.Generator().manual_seed(seed)
    anchors = torch.randn(told.shape[1], images.shape[1], generator=generator).requires_grad_()
    optimiser = torch.optim.AdamW([anchors], lr=0.02, weight_decay=0.01)
    for _ in range(steps):
        said = functional.log_softmax(SCALE * images @ functional.normalize(anchors, dim=1).T, dim=1)
        loss = -(told.to(said) * said).sum(dim=1).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return anchors.detach()
