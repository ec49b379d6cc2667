"""Efficient video sampling: of each place in a picture, the frames stay in which it changed.

After "Efficient Video Sampling", arXiv 2510.14624, from the formula: d = 1 - cosine of a token and the token
at the same place of the frame before; the first frame stays whole; max(P, int(T * P * share)) tokens stay,
those that changed most, earlier ones first among equals. Scores are of embeddings here (the paper's are of
pixels, by one summary). Consecutive frames are what it is for: of unrelated cameras it favours the first,
and a single picture is kept whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import cosine_similarity

from models.compress.counts import changed
from models.compress.interface import Kept, View
from models.compress.step import Step


def choose(views: Sequence[View], step: Step) -> list[Kept]:
    """Raises ValueError when the views differ in size."""
    sizes = [len(view.features) for view in views]
    if len(set(sizes)) > 1:
        raise ValueError(f"'{step}' compares frames place by place, and these differ in size: {sizes}")
    frames = torch.stack([view.features.float() for view in views])
    change = torch.full(frames.shape[:2], torch.inf, device=frames.device)
    change[1:] = 1 - cosine_similarity(frames[1:], frames[:-1], dim=-1)
    order = change.flatten().argsort(descending=True, stable=True)
    stays = torch.zeros(change.numel(), dtype=torch.bool, device=frames.device)
    stays[order[: changed(sizes, step.kept)]] = True
    return [Kept(row.nonzero()[:, 0]) for row in stays.view(change.shape)]
