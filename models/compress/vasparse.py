"""VASparse (arXiv 2501.06553): which cached tokens matter to what is seen, and a contrast against not seeing.

Written from the paper's equations; its repository does something else (see the notes of each function), so
nothing here is theirs. The paper leaves open, chosen here and switchable:

`head`      whose attention gives the saliency P (eq. 5): the last head's, as the paper stores it; None takes
            the mean over heads.
`shared`    whether all heads keep the same tokens (sum of scores; needed by caches of one length) or each
            its own (eq. 4 as written).
`neighbours`  how many neighbours the density of the clusters looks at.

For a fixed prompt the last token before the answer is always the same, so the contrast's second term is one
constant vector: on a one-word answer the method is a bias that ignores the image. Calibration covers that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LogitsProcessor

from models.compress.evict.rules import EVERY, Rules
from models.compress.interface import Marks
from models.compress.order import top
from models.compress.step import Step


def saliency(attention: Tensor, visual: Tensor, head: int | None = -1) -> Tensor:
    """P (n,), eq. 5: softmax over tokens of the attention that each pays to the visual ones.

    `attention` (heads, n, n) probabilities, rows look; `visual` (n,) bool.
    """
    rows = attention.mean(dim=0) if head is None else attention[head]
    return (rows * visual).sum(dim=-1).softmax(dim=-1)


def token_scores(query: Tensor, keys: Tensor, saliency: Tensor, weight: float = 0.1) -> Tensor:
    """(heads, n), eq. 4: (q . K_i)^2 + `weight` * P_i. `query` (heads, d), `keys` (heads, n, d)."""
    return torch.einsum("hd,hnd->hn", query, keys).square() + weight * saliency


def select(scores: Tensor, keep: float, shared: bool = True) -> Tensor:
    """Sorted indices of the int(keep * n) best, at least one: (k,) shared by all heads, else (heads, k)."""
    count = max(1, int(keep * scores.shape[-1]))
    return top(scores.sum(dim=0) if shared else scores, count)


def clusters(features: Tensor, count: int, neighbours: int = 5) -> Tensor:
    """(n,) the cluster, 0 to count - 1, of each row of `features` (n, d): density peaks among neighbours.

    Density is exp(-mean squared distance to the nearest `neighbours`); peaks are dense and far from anything
    denser (ties in density go to the earlier row); everybody joins the nearest peak.
    """
    if not 1 <= count <= len(features):
        raise ValueError(f"{len(features)} tokens cannot form {count} clusters")
    apart = torch.cdist(features, features)
    nearest = apart.topk(min(neighbours + 1, len(features)), largest=False).values[:, 1:]
    density = (-nearest.square().mean(dim=-1)).exp() if nearest.shape[1] else torch.ones(len(features))
    rank = torch.empty_like(density)
    rank[torch.sort(density, descending=True, stable=True).indices] = torch.arange(len(density)).to(density)
    denser = rank[None, :] < rank[:, None]
    gap = torch.where(denser, apart, torch.inf).amin(dim=-1).nan_to_num(posinf=float(apart.max()) + 1)
    peaks = top(density * gap, count)
    return apart[:, peaks].argmin(dim=-1)


def merged(states: Tensor, cluster: Tensor, count: int) -> Tensor:
    """(..., count, d): the states (..., n, d) of each cluster summed up, as the paper has it."""
    shape = (*states.shape[:-2], count, states.shape[-1])
    return states.new_zeros(shape).index_add(-2, cluster, states)


def sink_weights(attention: Tensor) -> Tensor:
    """w (..., n), eq. 7: softmax over tokens of the attention each receives from itself and later ones."""
    return attention.tril().sum(dim=-2).softmax(dim=-1)


def penalised(scores: Tensor, weights: Tensor, strength: float = 0.1) -> Tensor:
    """Eq. 7: (1 + strength) * s - strength * w * s; strength 0 returns the scores themselves."""
    if strength == 0:
        return scores
    return (1 + strength) * scores - strength * weights[..., None, :] * scores


class BlindContrast(LogitsProcessor):
    """Eq. 6: (1 + alpha) * seeing - alpha * blind, blind = the head on the last token's embedding alone.

    The paper's random visual mask S_m cannot change the blind term (the embedding of a word knows no image),
    so none is drawn.
    """

    def __init__(self, embed: nn.Module, head: nn.Module, alpha: float = 0.1) -> None:
        self._embed, self._head, self.alpha = embed, head, alpha

    @torch.no_grad()
    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """`input_ids` (batch, n) so far, `scores` (batch, words) of the next; the same shape back."""
        if self.alpha == 0:
            return scores
        blind = self._head(self._embed(input_ids[:, -1])).to(scores)
        contrasted: Tensor = (1 + self.alpha) * scores - self.alpha * blind
        return contrasted


class Sparse:
    """The step "vasparse SHARE", an `Evictor`: eq. 4 decides which entries of each layer stay.

    The frame hands out attention, from which q . K follows up to one constant a head: its mean over tokens is
    taken for zero. Tokens that go are lost; the paper's summed tokens (`clusters`, `merged`) would need
    entries that no token wrote.
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
