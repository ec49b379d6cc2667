"""vatp: a layer keeps what its own attention and the size of its values say together.

Guo et al., "Attention Score is Not All You Need for Token Importance Indicator in KV Cache Reduction: Value
Also Matters" (arXiv 2406.12335): score = accumulated attention * L1 norm of the value, each KV head for
itself; all queries count (`window` 0) or the last ones. The first 20 tokens stay, as in the paper. Fully
specified, so it is the yardstick for `purekv`, whose attention comes from another layer; but it must watch
every layer's attention. Ours: the attention of query heads that share a KV head is summed; text stays.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from models.compress.evict.rules import EVERY, Rules, received
from models.compress.interface import Marks
from models.compress.step import Step


class Vatp:
    """An `Evictor`."""

    before = False

    def __init__(self, step: Step, layers: int) -> None:
        self.watched = frozenset(range(1, layers))
        self.window = step.whole("window", 0) or EVERY
        self._rules = Rules.of(step, sinks=20, recent=0)

    def keep(
        self, layer: int, key: Tensor, value: Tensor, attention: Mapping[int, Tensor], marks: Marks
    ) -> Tensor | None:
        if layer == 0:
            return None
        norms = torch.linalg.vector_norm(value.float(), ord=1, dim=-1)
        return self._rules.kept(received(attention[layer], value.shape[1]) * norms, marks)


def create(step: Step, layers: int) -> Vatp:
    return Vatp(step, layers)
