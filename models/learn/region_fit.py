"""Train the region head on maps of a frozen backbone, and ask it about held-out images.

The maps are computed once; after that a head takes seconds, so that its settings can be compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from models.learn.data import Example
from models.learn.judge import Answers, ask
from models.learn.metrics import Floats
from models.learn.regimes import Regime
from models.learn.region_views import IS, NOT, UNKNOWN, Known, Lesson
from models.regions.look import Look, look
from models.regions.network import Backbone, Head, Maps, pool

WORKS_WEIGHT = 1.0
CELL_WEIGHT = 0.5
OTHERS_WEIGHT = 0.1
"""Weights of the image's own label, of known cells, and of the other classes' share of both."""

T = TypeVar("T")


@dataclass(frozen=True)
class Mapped:
    """Lessons of one shape: half-precision maps (count, channels, ...), `image` and `cells` stacked."""

    maps: Maps
    image: torch.Tensor
    cells: torch.Tensor


@dataclass(frozen=True)
class Variant:
    """`sharpness` of the pooling; `steps` batches of `batch` lessons; `rate` of AdamW."""

    sharpness: float = 1.0
    steps: int = 300
    batch: int = 32
    rate: float = 2e-3
    weight_decay: float = 0.02


def map_lessons(backbone: Backbone, lessons: Iterator[Lesson]) -> list[Mapped]:
    """By shape; shapes of a single lesson are left out."""
    kept: dict[tuple[int, ...], list[tuple[Maps, Known, Known]]] = defaultdict(list)
    for group in _by_shape(lessons, 16, lambda lesson: lesson.look):
        maps = map_looks(backbone, [lesson.look for lesson in group])
        for index, lesson in enumerate(group):
            own = maps[0][index].clone(), maps[1][index].clone()
            kept[lesson.cells.shape].append((own, lesson.image, lesson.cells))
    return [_stacked(members) for members in kept.values() if len(members) > 1]


def _by_shape(items: Iterator[T], size: int, seen: Callable[[T], Look]) -> Iterator[list[T]]:
    """Groups of `size` items whose looks have one shape; smaller ones at the end."""
    waiting: dict[tuple[int, ...], list[T]] = defaultdict(list)
    for item in items:
        group = waiting[seen(item).pixels.shape]
        group.append(item)
        if len(group) == size:
            yield list(group)
            group.clear()
    yield from filter(None, waiting.values())


def map_looks(backbone: Backbone, looks: Sequence[Look]) -> Maps:
    """The backbone's two maps of looks of one shape, in half precision."""
    pixels = torch.from_numpy(np.stack([each.pixels for each in looks]))
    with torch.inference_mode():
        coarse, fine = backbone(pixels.contiguous(memory_format=torch.channels_last))
        return coarse.half(), fine.half()


def _stacked(members: Sequence[tuple[Maps, Known, Known]]) -> Mapped:
    coarse, fine = (torch.stack([each[0][index] for each in members]) for index in (0, 1))
    image = torch.from_numpy(np.stack([each[1] for each in members]))
    cells = torch.from_numpy(np.stack([each[2] for each in members]))
    return Mapped((coarse, fine), image, cells)


def train_head(head: Head, data: Sequence[Mapped], variant: Variant, seed: int) -> Head:
    """Improve `head` in place for `variant.steps` batches, each of one shape, shapes drawn by their size."""
    if not variant.steps:
        return head
    rng = np.random.default_rng(seed)
    sizes = np.array([len(each.image) for each in data], dtype=float)
    optimiser = torch.optim.AdamW(head.parameters(), lr=variant.rate, weight_decay=variant.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, variant.steps, variant.rate / 100)
    for _ in range(variant.steps):
        part = data[int(rng.choice(len(data), p=sizes / sizes.sum()))]
        rows = torch.from_numpy(
            rng.choice(len(part.image), min(variant.batch, len(part.image)), replace=False)
        )
        logits = head((part.maps[0][rows].float(), part.maps[1][rows].float()))
        loss = loss_of(logits, part.image[rows], part.cells[rows], variant.sharpness)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return head


def loss_of(logits: torch.Tensor, image: torch.Tensor, cells: torch.Tensor, sharpness: float) -> torch.Tensor:
    """Multiple-instance loss: the pooled logit answers for the image, known cells answer for themselves."""
    weights = torch.full((logits.shape[1],), OTHERS_WEIGHT)
    weights[0] = WORKS_WEIGHT
    whole = _masked(pool(logits, sharpness), image) * weights
    return whole.sum() + CELL_WEIGHT * (_cell_loss(logits, cells) * weights).sum()


def _masked(logits: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """(rows, classes) -> (classes,): mean cross-entropy over the rows that are known."""
    losses = functional.binary_cross_entropy_with_logits(logits, (known == IS).float(), reduction="none")
    sure = (known != UNKNOWN).float()
    return (losses * sure).sum(0) / sure.sum(0).clamp_min(1)


def _cell_loss(logits: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """(classes,): mean over the cells that show the class and over those that do not, weighing the same."""
    losses = functional.binary_cross_entropy_with_logits(logits, (cells == IS).float(), reduction="none")
    total = torch.zeros(logits.shape[1])
    for kind in (cells == IS, cells == NOT):
        each = kind.float()
        total = total + 0.5 * (losses * each).sum((0, 2, 3)) / each.sum((0, 2, 3)).clamp_min(1)
    return total


@dataclass(frozen=True)
class Held:
    """Held-out challenges: `answers` with their scores still to come, `maps` row by row."""

    answers: Answers
    maps: list[Maps]

    def scores(self, head: Head, sharpness: float) -> Floats:
        """Raw log-odds of every row."""
        with torch.inference_mode():
            rows = [head((coarse[None].float(), fine[None].float())) for coarse, fine in self.maps]
            return np.array([float(pool(logits.double(), sharpness)[0, 0]) for logits in rows])


def map_challenges(
    backbone: Backbone, examples: Sequence[Example], draws: Mapping[Regime, int], side: int
) -> Held:
    """The maps of what `models.learn.judge.ask` would show, in its order."""
    maps: list[Maps] = []

    def record(images: Sequence[Image.Image]) -> Floats:
        looks = [look(image, side) for image in images]
        ready: dict[int, Maps] = {}
        for group in _by_shape(iter(range(len(looks))), len(looks), lambda index: looks[index]):
            coarse, fine = map_looks(backbone, [looks[index] for index in group])
            ready |= {index: (coarse[row], fine[row]) for row, index in enumerate(group)}
        maps.extend(ready[index] for index in range(len(looks)))
        return np.zeros(len(images))

    return Held(ask(record, examples, draws), maps)


def ahead(make: Callable[[int], T], count: int) -> Iterator[T]:
    """make(0), make(1) ... in order, a few of them being made by threads meanwhile."""
    with ThreadPoolExecutor(2) as threads:
        for first in range(0, count, 64):
            yield from threads.map(make, range(first, min(first + 64, count)))
