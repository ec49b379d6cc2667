"""Progressive visual compression over views: a base view, then supplements that show what it does not.

After PVC (arXiv 2412.09613): the first frame is described in full, later ones add what is new. The published
model is trained for it (temporal attention in the encoder, 64 tokens a frame) and needs its own checkpoint;
this is the training-free form over cameras. Underspecified, so chosen here:

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

from models.compress.counts import shared
from models.compress.interface import Kept, View
from models.compress.order import share, top
from models.compress.step import Step

BUDGETS = (64, 48, 48, 40, 40, 40)
Novelty = Literal["greedy", "once"]


def budgets(sizes: Sequence[int], keep: float) -> list[int]:
    """Tokens of each of one to six views of these `sizes`: together trunc(`keep` * all), one each at least.

    A single view is the base view: it gets the whole budget.
    """
    if not 1 <= len(sizes) <= len(BUDGETS):
        raise ValueError(f"{len(sizes)} views: there are budgets for 1 to {len(BUDGETS)}")
    return share(shared(sizes, keep), BUDGETS[: len(sizes)], sizes)


def choose(views: Sequence[View], step: Step) -> list[Kept]:
    """The step "pvc SHARE [novelty=greedy|once] [merge=true] [count=true]", of the kind prune.

    `merge`  tokens that go join the one of their view that is most like them, instead of being lost.
    `count`  attention then counts a token as often as there are tokens in it.
    """
    novelty: Novelty = "once" if step.word("novelty", ("greedy", "once")) == "once" else "greedy"
    merge = step.switch("merge", False)
    counts = budgets([len(view.features) for view in views], step.kept)
    kept = select([view.features for view in views], counts, novelty)
    if not merge:
        return [Kept(index) for index in kept]
    count = step.switch("count", True)
    return [_joined(view, index, count) for view, index in zip(views, kept, strict=True)]


def _joined(view: View, index: Tensor, count: bool) -> Kept:
    if len(index) == len(view.features):
        return Kept(index)
    features, sizes = absorb(view.features, index, view.sizes)
    return Kept(index, features, sizes if count else None)


def absorb(features: Tensor, index: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(features (k, d), sizes (k,) float32) of the tokens at `index`: the mean of each and of those that are
    most like it (cosine) among the rest, and how many they are; `sizes` (n,) how many each already is."""
    wide = features.float()
    unit = functional.normalize(wide, dim=-1)
    joins = (unit @ unit[index].T).argmax(dim=1)
    joins[index] = torch.arange(len(index), device=index.device)
    each = torch.ones(len(features), device=index.device) if sizes is None else sizes
    total = each.new_zeros(len(index)).index_add(0, joins, each)
    summed = wide.new_zeros(len(index), wide.shape[1]).index_add(0, joins, wide * each[:, None])
    return (summed / total[:, None]).to(features.dtype), total


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
