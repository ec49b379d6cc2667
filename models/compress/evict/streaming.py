"""streaming: the first tokens and the latest stay, whatever they say: the baseline without any score.

Xiao et al., "Efficient Streaming Language Models with Attention Sinks" (arXiv 2309.17453). Ours: text stays,
and of the visual tokens the latest share; kept keys keep the positions they were turned by, where the paper
counts anew.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from models.compress.evict.rules import Rules
from models.compress.interface import Marks
from models.compress.step import Step


class Streaming:
    """An `Evictor`."""

    before = False
    watched: frozenset[int] = frozenset()
    window = 1

    def __init__(self, step: Step, layers: int) -> None:
        self._rules = Rules.of(step, sinks=4, recent=0)

    def keep(
        self, layer: int, key: Tensor, value: Tensor, attention: Mapping[int, Tensor], marks: Marks
    ) -> Tensor | None:
        if layer == 0:
            return None
        latest = torch.arange(marks.length, device=key.device).float()
        return self._rules.kept(latest.expand(*key.shape[:2], -1), marks)


def create(step: Step, layers: int) -> Streaming:
    return Streaming(step, layers)
