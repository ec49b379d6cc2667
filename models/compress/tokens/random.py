"""Tokens by lot: the control that every method must beat."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from models.compress.counts import part
from models.compress.interface import Kept, View
from models.compress.step import Step


def choose(views: Sequence[View], step: Step) -> list[Kept]:
    """`part(n, share)` of each view's n tokens, without replacement; views draw one after another."""
    lot = torch.Generator().manual_seed(step.seed)
    drawn = []
    for view in views:
        tokens = len(view.features)
        drawn.append(torch.randperm(tokens, generator=lot)[: part(tokens, step.kept)].sort().values)
    return [Kept(index) for index in drawn]
