"""One to six views as one scene: composed from pictures of one source, since nobody photographed six at once.

A scene shows roadwork when any of its views does. Without roadwork, all views are views without, of one
source; with roadwork, one view shows it, and each of the others does or does not, as a coin says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.core import MAX_VIEWS
from models.learn.small_vlm.samples import Sample, sources
from models.vlm.small.words import answer

ALONE = 0.5
"""Share of scenes with a single view: what validators send."""


@dataclass(frozen=True)
class Scene:
    """`places` of its views among the samples; `words` of the answer that is wanted."""

    places: tuple[int, ...]
    roadwork: bool
    words: tuple[str, ...]


class Composer:
    """Draws scenes over `samples`, half of them with roadwork."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples
        self._by = sources(samples)
        self._of = {
            label: [place for place, sample in enumerate(samples) if sample.roadwork == label]
            for label in (True, False)
        }

    def draw(self, rng: np.random.Generator, views: int | None = None) -> Scene:
        """`views` of them; without it one, or two to six."""
        count = views or (1 if rng.random() < ALONE else int(rng.integers(2, MAX_VIEWS + 1)))
        roadwork = bool(rng.random() < 0.5)
        first = int(rng.choice(self._of[roadwork]))
        others = [self._other(first, roadwork and rng.random() < 0.5, rng) for _ in range(count - 1)]
        places = rng.permutation([first, *others])
        sample = self._samples[first]
        side = sample.side if count == 1 else None
        words = answer(roadwork, sample.objects, side)
        return Scene(tuple(map(int, places)), roadwork, tuple(words))

    def _other(self, first: int, roadwork: bool, rng: np.random.Generator) -> int:
        """A view of the same source; of the same picture's label where that source has no other."""
        source = self._samples[first].source
        return int(rng.choice(self._by.get((source, roadwork)) or [first]))
