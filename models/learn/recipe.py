"""Every number of the training recipe, in one place; it is written beside the weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Recipe:
    """`side` px in training; `steps` batches of `batch` views; `decay` of the weight average per step.

    `frozen`         how many of the network's blocks, from the image on, stay as they began.
    `checkpoints`    fractions of `steps` at which the select part is asked; the best one is kept.
    `scenes`         how many rendered scenes take part; `scene_seed` the first argument to `write_scenes`.
    `roadwork_shares`, `none_shares`   how often each source is drawn (any positive scale).
    """

    side: int = 192
    batch: int = 32
    steps: int = 160
    rate: float = 4e-4
    warmup: int = 20
    weight_decay: float = 0.02
    smoothing: float = 0.05
    decay: float = 0.98
    frozen: int = 0
    momentum: float = 0.05
    checkpoints: tuple[float, ...] = (0.75, 1.0)
    folds: int = 3
    scenes: int = 600
    scene_seed: int = 900
    roadwork_shares: Mapping[str, float] = field(
        default_factory=lambda: {"mi3": 0.74, "fatima": 0.12, "owais": 0.04, "scenes": 0.1}
    )
    none_shares: Mapping[str, float] = field(
        default_factory=lambda: {"mi3": 0.42, "owais": 0.34, "vsh": 0.14, "scenes": 0.1}
    )


def shared(recipe: Recipe, sources: Iterable[str]) -> Recipe:
    """The recipe's shares name the sources of the embedded default; with others among them all are drawn
    evenly."""
    if recipe.roadwork_shares.keys() | recipe.none_shares.keys() >= set(sources):
        return recipe
    return replace(recipe, roadwork_shares={}, none_shares={})
