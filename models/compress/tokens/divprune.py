"""Farthest-point choice of the most diverse tokens, after DivPrune.

Alvar et al., "DivPrune: Diversity-based Visual Token Pruning for Large Multimodal Models", CVPR 2025, written
from the paper's max-min diversity problem and its greedy solution: the distance of two tokens is 1 - cosine
of their projected embeddings; the first is the one farthest from its nearest neighbour; then, again and
again, the one farthest from all chosen so far. Our choice: a chosen token is struck out, so that duplicates
are not chosen twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.compress.counts import part
from models.compress.interface import Kept, View
from models.compress.step import Step


def choose(views: Sequence[View], step: Step) -> list[Kept]:
    """Each view by itself."""
    return [Kept(farthest(view.features, part(len(view.features), step.kept))) for view in views]


def farthest(features: Tensor, kept: int) -> Tensor:
    """[kept] int64, increasing, of `features` [n, d]; ties go to the smaller index."""
    tokens = len(features)
    if kept >= tokens:
        return torch.arange(tokens, device=features.device)
    unit = torch.nn.functional.normalize(features.float(), dim=-1)
    distance = 1 - unit @ unit.T
    lonely = distance.clone().fill_diagonal_(torch.inf).amin(0)
    chosen = lonely.argmax()
    picked, nearest = [chosen], distance[chosen].clone()
    for _ in range(kept - 1):
        nearest[chosen] = -torch.inf
        chosen = nearest.argmax()
        picked.append(chosen)
        nearest = torch.minimum(nearest, distance[chosen])
    return torch.stack(picked).sort().values
