"""An endless, repeatable stream of training batches, balanced over labels, sources and sequences."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from models.learn.data import Example
from models.learn.views import View, make_view

NONE_SHARE = 2 / 3
"""Share of streets without works before pasting turns some of them into roadwork; after it, about a half."""

Shares = Mapping[str, float]


@dataclass(frozen=True)
class Pool:
    """Draws examples of one label: source by share, sequence by the root of its size, then evenly."""

    sequences: tuple[tuple[Example, ...], ...]
    chances: np.ndarray[tuple[int], np.dtype[np.float64]]

    def draw(self, rng: np.random.Generator) -> Example:
        members = self.sequences[int(rng.choice(len(self.sequences), p=self.chances))]
        return members[int(rng.integers(len(members)))]


def make_pool(examples: Sequence[Example], shares: Shares) -> Pool:
    """Sources that `shares` does not name weigh a third of an even part. ValueError without examples."""
    if not examples:
        raise ValueError("no examples of one of the labels")
    sequences: dict[tuple[str, str], list[Example]] = defaultdict(list)
    for example in examples:
        sequences[example.source, example.sequence].append(example)
    roots: dict[str, float] = defaultdict(float)
    for (source, _), members in sequences.items():
        roots[source] += len(members) ** 0.5
    fallback = 1 / (3 * len(roots))
    chances = np.array(
        [
            shares.get(source, fallback) * len(members) ** 0.5 / roots[source]
            for (source, _), members in sequences.items()
        ]
    )
    return Pool(tuple(tuple(members) for members in sequences.values()), chances / chances.sum())


@dataclass(frozen=True)
class Stream:
    """Training views by number: a number and a seed always give the same view, made in any order."""

    roadwork: Pool
    none: Pool
    patches: Pool | None
    side: int
    seed: int

    def view(self, number: int) -> View:
        return self.drawn(number)[1]

    def drawn(self, number: int) -> tuple[Example, View]:
        """The view of this number, and the example that it is a view of."""
        rng = np.random.default_rng([self.seed, number])
        pool = self.none if rng.random() < NONE_SHARE else self.roadwork
        example = pool.draw(rng)
        return example, make_view(example, self._patch if self.patches else None, self.side, rng)

    def _patch(self, works: bool, rng: np.random.Generator) -> Example:
        assert self.patches is not None
        return self.patches.draw(rng) if works else self.none.draw(rng)

    def batches(
        self, size: int, count: int, workers: int = 2, first: int = 0
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches from number `first` up to `count`: float32 (size, 3, side, side) in [-1, 1], and float32
        labels (size,).

        A few views are made ahead by threads.
        """
        with ThreadPoolExecutor(workers) as threads:
            numbers = iter(range(size * first, size * count))
            pending = deque(threads.submit(self.view, number) for number in islice(numbers, 2 * size))
            for _ in range(first, count):
                views = [pending.popleft().result() for _ in range(size)]
                pending.extend(threads.submit(self.view, number) for number in islice(numbers, size))
                yield to_tensors(views)


def to_tensors(views: Sequence[View]) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = np.stack([np.asarray(view.image) for view in views])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    labels = torch.tensor([float(view.roadwork) for view in views])
    return images.contiguous(memory_format=torch.channels_last), labels
