"""How the folding of `residual` is learned: every prefix of the sources must decide well; torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from models.fusion.inputs import fit_inputs
from models.fusion.residual import Residual
from models.fusion.rows import Floats, Rows, balanced
from models.fusion.selection import log_loss
from models.fusion.training import descend, dropped, generator, hold_out, normal, tensors, tidy, weighted_loss

HIDDEN = 8
STEPS = 300


def fit_residual(rows: Rows, seed: int = 0) -> Residual:
    """The state with the least loss on held-out groups, the mean over what is said after each branch."""
    inputs = fit_inputs(rows)
    training, validation = hold_out(rows, seed)
    x, there, target, weights = tensors(*inputs(training), training, balanced(training.roadwork))
    own = torch.from_numpy(np.eye(len(inputs.sources))[:, inputs.owners])
    parameters = _begin(len(inputs.sources), len(inputs.owners), generator(seed, 0))
    dice = generator(seed, 1)
    tested = [torch.from_numpy(each) for each in inputs(validation)]
    best: list[Floats] = []
    least = np.inf

    def loss(step: int) -> torch.Tensor:
        return torch.stack(
            [
                weighted_loss(each, target, weights)
                for each in _prefixes(parameters, own, x, dropped(there, dice))
            ]
        ).mean()

    def look(step: int) -> None:
        nonlocal best, least
        with torch.no_grad():
            said = [each.numpy() for each in _prefixes(parameters, own, *tested)]
        now = float(np.mean([log_loss(each, validation.roadwork) for each in said]))
        if now < least:
            least, best = now, [tidy(parameters[0] * own[:, None, :]), *map(tidy, parameters[1:])]

    descend(parameters, loss, STEPS, look)
    encode, shift, by_state, by_branch, ease, scale, head, bias = best
    return Residual(inputs, encode, shift, by_state, by_branch, ease, scale, head, float(bias))


def _begin(branches: int, columns: int, dice: torch.Generator) -> list[torch.Tensor]:
    return [
        normal((branches, HIDDEN, columns), 0.3, dice),
        normal((branches, HIDDEN), 0.01, dice),
        normal((branches, HIDDEN, HIDDEN), 0.1, dice),
        normal((branches, HIDDEN, HIDDEN), 0.1, dice),
        normal((branches, 2, HIDDEN), 0.01, dice),
        torch.full((branches,), 0.5, dtype=torch.float64, requires_grad=True),
        normal((HIDDEN,), 0.3, dice),
        normal((), 0.01, dice),
    ]


def _prefixes(
    parameters: list[torch.Tensor], own: torch.Tensor, x: torch.Tensor, there: torch.Tensor
) -> Iterator[torch.Tensor]:
    """(n,) log-odds after each branch, as `Residual.fold`."""
    encode, shift, by_state, by_branch, ease, scale, head, bias = parameters
    state = torch.zeros(len(x), HIDDEN, dtype=torch.float64)
    for index in range(len(scale)):
        said = (x * own[index]) @ encode[index].T + shift[index]
        lets_branch = torch.sigmoid(state @ by_state[index].T + ease[index, 0])
        lets_state = torch.sigmoid(said @ by_branch[index].T + ease[index, 1])
        folded = state + scale[index] * (said * lets_branch + state * lets_state)
        state = torch.where(there[:, index : index + 1], folded, state)
        yield state @ head + bias
