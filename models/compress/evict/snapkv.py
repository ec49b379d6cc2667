"""snapkv: a layer keeps what the prompt's last queries looked at, and its neighbours.

Li et al., "SnapKV: LLM Knows What You are Looking for Before Generation" (arXiv 2404.14469): attention of the
last `window` (16) queries, summed, smoothed along the sequence by a maximum over `pool` (5) tokens, each KV
head for itself; the window itself stays. Ours: the attention of query heads that share a KV head is summed;
text stays; smoothing runs over visual tokens alone, so that a word next to a picture lends it nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional

from models.compress.evict.rules import EVERY, Rules, received
from models.compress.interface import Marks
from models.compress.step import Step


class SnapKV:
    """An `Evictor`."""

    before = False

    def __init__(self, step: Step, layers: int) -> None:
        self.watched = frozenset(range(1, layers))
        self.window = step.whole("window", 16) or EVERY
        self._pool = step.whole("pool", 5)
        if self._pool < 1 or self._pool % 2 == 0:
            raise ValueError(f"{step}: pool is an odd number of tokens, not {self._pool}")
        self._rules = Rules.of(step, sinks=0, recent=self.window if self.window < EVERY else 0)

    def keep(
        self, layer: int, key: Tensor, value: Tensor, attention: Mapping[int, Tensor], marks: Marks
    ) -> Tensor | None:
        if layer == 0:
            return None
        scores = received(attention[layer], key.shape[1])
        visual = marks.visual.to(scores.device)
        smooth = functional.max_pool1d(scores[..., visual], self._pool, stride=1, padding=self._pool // 2)
        return self._rules.kept(scores.index_copy(2, visual, smooth), marks)


def create(step: Step, layers: int) -> SnapKV:
    """Raises ValueError for an even pool."""
    return SnapKV(step, layers)
