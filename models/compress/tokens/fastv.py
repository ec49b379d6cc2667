"""FastV: after a few layers, only the visual tokens go on that the last token has attended to most.

Chen et al., "An Image is Worth 1/2 Tokens After Layer 2", ECCV 2024, from the paper: at layer K the
attention of layer K - 1, mean over heads, row of the prompt's last token, over visual tokens; the
round(share * n) with most stay for all layers from K on, at their own positions. Option layer=K (default 2,
or the first layer after DeepStack's last addition).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from models.compress.counts import part
from models.compress.step import Step


class FastV:
    """An `Inside`."""

    window = 1

    def __init__(self, layer: int, share: float) -> None:
        self.watched = frozenset({layer - 1})
        self._layer, self._share = layer, share

    def at(self, layer: int, hidden: Tensor, attention: Mapping[int, Tensor], place: Tensor) -> Tensor | None:
        kept = part(place.shape[1], self._share)
        if layer != self._layer or kept == place.shape[1]:
            return None
        seen = attention[layer - 1][:, :, -1].mean(1).gather(1, place)
        best = seen.argsort(dim=1, descending=True, stable=True)[:, :kept]
        return best.sort(dim=1).values


def create(step: Step, layers: int, least: int) -> FastV:
    layer = step.whole("layer", max(2, least))
    if not least <= layer < layers:
        raise ValueError(f"'{step}': tokens may go at layers {least} to {layers - 1}, not at {layer}")
    return FastV(layer, step.kept)
