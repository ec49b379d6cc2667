"""Progressive visual compression over views: a base view, then supplements that show what it does not.

After PVC (arXiv 2412.09613): the first frame is described in full, later ones add what is new. The published
model is trained for it (temporal attention in the encoder, 64 tokens a frame) and needs its own checkpoint;
this is the training-free form over cameras. Underspecified, so chosen here and switchable:

`BUDGETS`   the shares of six views, 64/48/48/40/40/40 of 64 tokens each; scaled to whatever total is asked.
`novelty`   what makes a token of a later view worth keeping: its cosine distance to the nearest token kept
            so far. "greedy" also counts what the view itself has already given (farthest point, seeded by
            the views before); "once" counts the views before alone.

The order of the views is part of the method: the first is privileged by design, so permuting cameras does
not permute what is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from models.compress.order import share, top

BUDGETS = (64, 48, 48, 40, 40, 40)
Novelty = Literal["greedy", "once"]


def budgets(views: int, tokens: int, keep: float) -> list[int]:
    """Tokens of each of `views` (1 to 6) of `tokens` each, so that all keep trunc(`keep` * views * tokens).

    A single view is the base view: it gets the whole budget.
    """
    if not 1 <= views <= len(BUDGETS) or not 0 < keep <= 1:
        raise ValueError(f"{views} views at keep {keep}: 1 to {len(BUDGETS)} views and keep in (0, 1]")
    return share(int(keep * views * tokens), list(BUDGETS[:views]), tokens)


def select(views: Sequence[Tensor], counts: Sequence[int], novelty: Novelty = "greedy") -> list[Tensor]:
    """Sorted indices kept of each view; `views` are (tokens, width) embeddings in their order."""
    shown: list[Tensor] = []
    kept: list[Tensor] = []
    for view, count in zip(views, counts, strict=True):
        unit = functional.normalize(view.float(), dim=-1)
        chosen = _supplement(unit, torch.cat(shown) if shown else None, count, novelty)
        kept.append(chosen)
        shown.append(unit[chosen])
    return kept


def _supplement(unit: Tensor, shown: Tensor | None, count: int, novelty: Novelty) -> Tensor:
    if count == len(unit):
        return torch.arange(count, device=unit.device)
    distance = _farthest_from_mean(unit) if shown is None else 1 - (unit @ shown.T).amax(dim=1)
    if novelty == "once" and shown is not None:
        return top(distance, count)
    return _farthest_points(unit, distance, count)


def _farthest_from_mean(unit: Tensor) -> Tensor:
    """The base view has nothing before it: it starts from the token least like the view as a whole."""
    return 1 - unit @ functional.normalize(unit.mean(dim=0), dim=0)


def _farthest_points(unit: Tensor, distance: Tensor, count: int) -> Tensor:
    """Greedy: take the most distant, then count the others' distance to it too. A token is taken once."""
    chosen = torch.zeros(len(unit), dtype=torch.bool, device=unit.device)
    for _ in range(count):
        at = int(torch.where(chosen, -torch.inf, distance).argmax())
        chosen[at] = True
        distance = torch.minimum(distance, 1 - unit @ unit[at])
    return chosen.nonzero().squeeze(1)
