"""The search of a closer look: wide first, then into the part that looks most like roadwork.

It ends as soon as a look is trusted enough, and when looks, depth or time are used up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.core import Box
from models.zoom.reward import Look, Reward
from models.zoom.windows import WHOLE, Window, around, parts

See = Callable[[Sequence[Window]], Sequence[float]]
"""Windows of a view -> raw log-odds of the classifier for each."""


@dataclass(frozen=True, slots=True)
class Effort:
    """`most` looks; `depth` rounds, the first one included; `sure` the chance of being right at which it
    stops; `boxes` at most so many windows around what others saw; `most_ms` after which no round begins."""

    most: int = 10
    depth: int = 2
    sure: float = 0.9
    boxes: int = 3
    most_ms: float = 500.0

    def __post_init__(self) -> None:
        if min(self.most, self.depth, self.boxes) < 1 or not 0 < self.sure <= 1 or not self.most_ms > 0:
            raise ValueError("an effort has a look, a round and a box at least, sure in (0, 1], some ms")


def refine(
    see: See,
    reward: Reward,
    effort: Effort,
    boxes: Sequence[Box] = (),
    clock: Callable[[], float] = time.monotonic,
) -> list[Look]:
    """All looks in order, at least one. `boxes` of this view."""
    end = clock() + effort.most_ms / 1e3
    windows = around(boxes, effort.boxes) or _plain(parts(WHOLE))
    looks: list[Look] = []
    for _ in range(effort.depth):
        asked = windows[: effort.most - len(looks)]
        if not asked or (looks and clock() >= end):
            break
        said = see([window for window, _ in asked])
        new = [Look(window, odds, score) for (window, score), odds in zip(asked, said, strict=True)]
        looks += new
        if reward.best(looks)[1] >= effort.sure:
            break
        windows = _plain(parts(max(new, key=lambda look: look.log_odds).window))
    return looks


def _plain(windows: Sequence[Window]) -> list[tuple[Window, float]]:
    """Windows that nobody pointed at."""
    return [(window, 0.0) for window in windows]
