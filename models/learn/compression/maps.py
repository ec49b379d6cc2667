"""Training views as the small VLM sees them, and whole frames to report on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.calibration import Calibration
from models.learn.data import Example
from models.learn.fit import make_stream
from models.learn.metrics import Report, report
from models.learn.recipe import Recipe
from models.learn.regimes import SIDE
from models.learn.small_vlm.fit import see
from models.learn.small_vlm.samples import Sample, photographed, rendered
from models.vlm.small.network import SmallNetwork
from models.vlm.small.words import NO, TOKENS, YES

SCENE_SEED = 905
"""Rendered scenes that neither the small VLM nor its report has seen."""


@dataclass(frozen=True)
class Views:
    """`samples` say what the views show; `maps` (n, features, grid, grid) float32."""

    samples: list[Sample]
    maps: Tensor


def training_views(
    eyes: Path, examples: Sequence[Example], photographs: int, scenes: int, grid: int, seed: int
) -> Views:
    """`photographs` views of the examples, augmented as in training, and `scenes` rendered ones."""
    stream = make_stream(examples, Recipe(side=SIDE), seed)
    views = chain(photographed(stream, photographs), rendered(SCENE_SEED, scenes))
    samples, maps = see(eyes, views, grid)
    return Views(samples, maps.float())


def whole_frames(eyes: Path, examples: Sequence[Example], grid: int) -> Views:
    """The examples' whole frames at 224 px, in their order."""
    frames = (
        (each.load().resize((SIDE, SIDE), Image.Resampling.BILINEAR), Sample(each.roadwork, each.source))
        for each in examples
    )
    samples, maps = see(eyes, frames, grid)
    return Views(samples, maps.float())


@torch.inference_mode()
def accuracy(network: SmallNetwork, views: Views, calibration: Calibration) -> Report:
    """Of single views, calibrated as the tier is."""
    said = []
    for maps in torch.split(views.maps, 64):
        present = torch.ones(len(maps), 1, dtype=torch.bool)
        empty = torch.zeros(len(maps), 0, dtype=torch.long)
        logits = network(maps[:, None], present, empty)[:, 0]
        said += (logits[:, TOKENS[YES]] - logits[:, TOKENS[NO]]).tolist()
    scores = np.array([calibration.apply(each) for each in said])
    return report(scores, np.array([each.roadwork for each in views.samples]))
