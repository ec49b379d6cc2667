"""VASparse (arXiv 2501.06553): which cached tokens matter to what is seen, and a contrast against not seeing.

Written from the paper's equations 4 to 6; its repository does something else, so nothing here is theirs. The
saliency P (eq. 5) is that of the last head, as the paper stores it. Left out: one summed token for each
cluster of those that go, which would need cache entries that no token wrote, and the penalty on sinks
(eq. 7).

For a fixed prompt the last token before the answer is always the same, so the contrast's second term is one
constant vector: on a one-word answer the method is a bias that ignores the image. Calibration covers that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from models.compress.evict.rules import EVERY, Rules
from models.compress.interface import Marks
from models.compress.step import Step


def saliency(attention: Tensor, visual: Tensor) -> Tensor:
    """P (n,), eq. 5: softmax over tokens of the attention that each pays to the visual ones.

    `attention` (heads, n, n) probabilities, rows look; `visual` (n,) bool.
    """
    return (attention[-1] * visual).sum(dim=-1).softmax(dim=-1)


class Sparse:
    """The step "vasparse SHARE", an `Evictor`: eq. 4 decides which entries of each layer stay.

    The frame hands out attention, from which q . K follows up to one constant a head: its mean over tokens is
    taken for zero. Tokens that go are lost.
    """

    before = False
    window = EVERY

    def __init__(self, step: Step, layers: int) -> None:
        self.watched = frozenset(range(1, layers))
        self._weight = step.number("weight", 0.1)
        self._rules = Rules.of(step, sinks=1, recent=0)

    def keep(
        self, layer: int, key: Tensor, value: Tensor, attention: Mapping[int, Tensor], marks: Marks
    ) -> Tensor | None:
        if layer == 0:
            return None
        seen = attention[layer]
        visual = torch.zeros(marks.length, dtype=torch.bool, device=seen.device)
        visual[marks.visual.to(seen.device)] = True
        products = seen[:, :, -1].clamp(min=1e-30).log()
        products = products - products.mean(dim=-1, keepdim=True)
        pays = torch.stack([saliency(rows, visual) for rows in seen])
        if pays.shape[-1] < marks.length:  # rows of a prefix that was read before were not seen: text
            pays = functional.pad(pays, (marks.length - pays.shape[-1], 0))
        scores = products.square() + self._weight * pays[:, None]
        return self._rules.kept(scores.unflatten(1, (key.shape[1], -1)).sum(dim=2), marks)  # type: ignore[no-untyped-call] # torch's


def create(step: Step, layers: int) -> Sparse:
    """Raises ValueError for a weight that is no number."""
    return Sparse(step, layers)


def adjust(logits: Tensor, last: Tensor, head: Callable[[Tensor], Tensor], step: Step) -> Tensor:
    """The step "vasparse_contrast [alpha=0.1]": eq. 6 on `logits` (batch, words)."""
    alpha = step.number("alpha", 0.1)
    return logits if alpha == 0 else (1 + alpha) * logits - alpha * head(last).to(logits)
