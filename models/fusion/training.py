"""What the torch fits share: a validation part, dropping whole sources, the best state on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from models.fusion.rows import Flags, Floats, Ints, Rows

DROP = 0.3
"""Share of the sources that a training step does not see."""

HELD_OUT = 0.25
DIGITS = 7


def folds(rows: Rows, count: int, seed: int) -> Ints:
    """(n,) fold of each row; groups stay whole, each fold gets about as many rows of each label.

    Raises ValueError with fewer groups than folds.
    """
    names, inverse = np.unique(rows.groups, return_inverse=True)
    if len(names) < count:
        raise ValueError(f"{len(names)} sequences cannot fill {count} folds")
    sides = np.stack([np.bincount(inverse, side, len(names)) for side in (~rows.roadwork, rows.roadwork)], 1)
    sides = sides / np.maximum(sides.sum(axis=0), 1)
    chance = np.random.default_rng(seed).random(len(names))
    totals, fold = np.zeros((count, 2)), np.zeros(len(names), np.intp)
    for group in np.lexsort([chance, -sides.sum(axis=1)]):
        crowded = [float(((totals + _only(count, each, sides[group])) ** 2).sum()) for each in range(count)]
        fold[group] = int(np.argmin(crowded))
        totals[fold[group]] += sides[group]
    return fold[inverse]


def _only(count: int, index: int, gain: Floats) -> Floats:
    added = np.zeros((count, 2))
    added[index] = gain
    return added


def hold_out(rows: Rows, seed: int) -> tuple[Rows, Rows]:
    """(to train on, to validate on), by group."""
    fold = folds(rows, round(1 / HELD_OUT), seed)
    return rows.pick(fold != 0), rows.pick(fold == 0)


def dropped(there: torch.Tensor, dice: torch.Generator) -> torch.Tensor:
    """(n, K) who is still there after a share `DROP` is taken away; a row that would lose all keeps all."""
    keeps = there & (torch.rand(there.shape, generator=dice) >= DROP)
    return torch.where(keeps.any(dim=1, keepdim=True), keeps, there)


def weighted_loss(log_odds: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean of the weighted log-loss."""
    return binary_cross_entropy_with_logits(log_odds, target, weights)


def soft_loss(
    log_odds: torch.Tensor, wanted: torch.Tensor, mass: float, weights: torch.Tensor
) -> torch.Tensor:
    """Mean cross-entropy to soft targets `wanted`, which are probabilities times `mass`."""
    return -(weights * (wanted * logsigmoid(log_odds) + (mass - wanted) * logsigmoid(-log_odds))).mean()


def descend(
    parameters: Sequence[torch.Tensor],
    loss: Callable[[int], torch.Tensor],
    steps: int,
    look: Callable[[int], None],
    *,
    every: int = 5,
    rate: float = 0.01,
    decay: float = 1e-3,
) -> None:
    """Adam; `look(step)` before the first step, after every few and after the last."""
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)
    with _one_thread():
        for step in range(steps):
            if step % every == 0:
                look(step)
            optimiser.zero_grad(set_to_none=True)
            loss(step).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        look(steps)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Networks this small only wait for one another on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def tidy(x: torch.Tensor | Floats) -> Floats:
    """float64 of a few digits, so that its JSON is short and exact."""
    values = np.asarray(x.detach() if isinstance(x, torch.Tensor) else x, dtype=np.float64)
    rounded = [float(f"{value:.{DIGITS}g}") for value in values.ravel().tolist()]
    return np.array(rounded, dtype=np.float64).reshape(values.shape)


def normal(shape: tuple[int, ...], scale: float, dice: torch.Generator) -> torch.Tensor:
    """A parameter drawn from a normal distribution, float64."""
    drawn = torch.randn(shape, generator=dice, dtype=torch.float64) * scale
    return drawn.requires_grad_()


def generator(*seed: int) -> torch.Generator:
    """Dice of their own for every tuple of numbers."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))


def tensors(x: Floats, there: Flags, rows: Rows, weights: Floats) -> tuple[torch.Tensor, ...]:
    """x, there, labels and weights for torch."""
    return (
        torch.from_numpy(np.ascontiguousarray(x)),
        torch.from_numpy(there),
        torch.from_numpy(rows.roadwork.astype(np.float64)),
        torch.from_numpy(weights),
    )
