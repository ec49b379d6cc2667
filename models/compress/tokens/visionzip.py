"""VisionZip: the tokens that the encoder looked at most, and the rest merged into a few anchors.

Yang et al., "VisionZip: Longer is Better but Not Necessary in Vision Language Models", CVPR 2025, from the
paper: dominant tokens are those with most attention; of the rest, anchors at equal strides, and every other
token joins the anchor it is most similar to, which becomes anchor + mean of its members. Dominant to anchors
as 54 to 10.

Chosen here: `View.attention` ranks where the encoder was watched; where it was not (encoders without a class
token, windowed attention), the attention that a query of the picture's mean feature would pay stands in for
it, softmax of features . mean / sqrt(d). Keys likewise are the features where there are none. What is kept
keeps its own position (the paper numbers positions anew). Option merge=false leaves the anchors as they were.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from models.compress.counts import part
from models.compress.interface import Kept, View
from models.compress.step import Step
from models.compress.tokens.uniform import spread

CONTEXT = 10 / 64
"""Share of the kept that are anchors."""


def choose(views: Sequence[View], step: Step) -> list[Kept]:
    """Each view by itself."""
    return [_zip(view, part(len(view.features), step.kept), step.switch("merge", True)) for view in views]


def _zip(view: View, kept: int, merge: bool) -> Kept:
    tokens, device = len(view.features), view.features.device
    if kept == tokens:
        return Kept(torch.arange(tokens, device=device))
    anchors = round(kept * CONTEXT)
    looked = attention(view.features) if view.attention is None else view.attention
    order = looked.argsort(descending=True, stable=True)
    dominant, rest = order[: kept - anchors], order[kept - anchors :].sort().values
    at = spread(len(rest), anchors).to(device)
    index = torch.cat([dominant, rest[at]])
    features = view.features[index].clone()
    if merge and anchors:
        keys = view.features if view.keys is None else view.keys
        features[kept - anchors :] += _members(view.features[rest], keys[rest], at)
    sort = index.argsort()
    return Kept(index[sort], features[sort] if merge and anchors else None)


def attention(features: Tensor) -> Tensor:
    """[n] what a query of the mean feature would look at."""
    wide = features.float()
    share: Tensor = (wide @ wide.mean(0) / wide.shape[-1] ** 0.5).softmax(0)
    return share


def _members(features: Tensor, keys: Tensor, at: Tensor) -> Tensor:
    """[anchors, d] mean of the tokens most similar to each anchor, itself left out; 0 where there is none."""
    unit = normalize(keys.float(), dim=-1)
    joins = (unit @ unit[at].T).argmax(1)
    member = torch.ones(len(features), dtype=torch.bool, device=features.device)
    member[at] = False
    sums = features.new_zeros(len(at), features.shape[1]).index_add(0, joins[member], features[member])
    counts = torch.bincount(joins[member], minlength=len(at)).clamp(min=1)
    means: Tensor = sums / counts[:, None]
    return means
