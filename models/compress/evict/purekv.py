"""purekv: what deep layers keep is ranked by the attention of a shallow one, times the length of their
values.

After PureKV (arXiv 2510.25600), whose text could not be read in full: the abstract and four reviews give the
two lines below, and every choice beyond them is ours and a switch.

Known       the importance of entry j in a high layer l = (attention that j received in lower layers) *
            (L2 norm of V_l[j]); high layers themselves show no attention, so they may run any fast kernel.
            Budgets published: keep 0.1 and 0.2 ("5.0 times").
Ours        source   the layer that is watched, the last that keeps everything (default 1). The paper does not
                     name its own.
            lower    "one": that layer's attention; "all": the sum of all layers up to it.
            window   the last queries whose attention counts (default 8); 0: all of them.
            heads    "each" KV head chooses for itself, by its own values; "shared": by their sum.
            norm     "l2", or "l1" as VATP has it.
            before   false: a layer attends to everything at prefill and then forgets, so the first token is
                     the dense one and only bytes are saved; true: it forgets first, the first token changes.
            text     stays, and so do the first `sinks` (4) and the last `recent` (8) tokens.

Values scaled by a constant choose the same. The other half of the paper, sparse attention over space and time
at prefill, is `spatial_temporal_mask`: no equations are known, so it is our reading: a visual token sees the
text before it, its own view up to itself, and the same place of the grid in views before. It assumes that
views are frames of equal grids, which cameras are not, and is identical to the causal mask for one view.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from models.compress.evict.rules import EVERY, Rules, summed
from models.compress.interface import Marks
from models.compress.segments import allowed, segments
from models.compress.step import Step


class PureKV:
    """An `Evictor`."""

    def __init__(self, step: Step, layers: int) -> None:
        self._source = step.whole("source", min(1, layers - 2))
        if not 0 <= self._source < layers - 1:
            raise ValueError(f"{step}: the source is one of layers 0 to {layers - 2}, not {self._source}")
        every = step.word("lower", ("one", "all")) == "all"
        self.watched = frozenset(range(self._source + 1) if every else [self._source])
        self.window = step.whole("window", 8) or EVERY
        self.before = step.switch("before", False)
        self._shared = step.word("heads", ("each", "shared")) == "shared"
        self._norm = 1 if step.word("norm", ("l2", "l1")) == "l1" else 2
        self._rules = Rules.of(step, sinks=4, recent=8)

    def keep(
        self, layer: int, key: Tensor, value: Tensor, attention: Mapping[int, Tensor], marks: Marks
    ) -> Tensor | None:
        if layer <= self._source:
            return None
        norms = torch.linalg.vector_norm(value.float(), ord=self._norm, dim=-1)
        if self._shared:
            norms = norms.sum(1, keepdim=True).expand_as(norms)
        return self._rules.kept(summed(attention, self.watched)[:, None] * norms, marks)


def create(step: Step, layers: int) -> PureKV:
    """Raises ValueError for a source layer that is none, or for a model of one layer."""
    return PureKV(step, layers)


def spatial_temporal_mask(marks: Marks) -> Tensor:
    """[N, N] bool, True where a query (row) sees a key. Text sees everything before it. Raises ValueError
    when visual tokens of a grid are missing or grids differ, as "the same place" then means nothing."""
    if len(set(marks.grids)) > 1 or any(
        rows * columns != size for (rows, columns), size in zip(marks.grids, marks.views, strict=True)
    ):
        raise ValueError("a spatial-temporal mask needs whole grids, equal in all views")
    own = allowed(segments(marks.length, marks.visual, marks.views))
    place = torch.full((marks.length,), -1, device=own.device)
    place[marks.visual] = marks.origin
    return own | torch.ones_like(own).tril() & (place[:, None] == place)
