"""Steps made ready: what a list of them does at each place, loaded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache

from models.compress.interface import Attend, Evictor, Inside, Kept, Reader, View
from models.compress.step import Step

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor, nn
    from transformers import Cache, PreTrainedConfig


class Applied:
    """`steps` as `plan` gives them, for a decoder of `layers` layers, of which tokens may go from layer
    `least` on. Raises ValueError with a sentence for a step that does not fit."""

    def __init__(self, steps: Sequence[Step], layers: int, least: int = 1) -> None:
        self.steps = tuple(steps)
        self._layers, self._least = layers, least
        self.attend: Attend | None = self._one("attention")
        self.inside()
        self.evictor()

    def __str__(self) -> str:
        return ", ".join(map(str, self.steps)) or "dense"

    def of(self, kind: str) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.method.kind == kind)

    def convert(self, model: nn.Module) -> None:
        """Change the model's modules, once, after it is loaded."""
        for step in self.of("weights"):
            step.method.load()(model, step)

    def shrink(self, image: Image) -> Image:
        for step in self.of("image"):
            image = step.method.load()(image, step)
        return image

    def choose(self, views: Sequence[View]) -> list[Kept]:
        """What all pruning steps together leave of a request's views, one step after another."""
        kept = [Kept(torch.arange(len(view.features), device=view.features.device)) for view in views]
        for step in self.of("prune"):
            chosen = step.method.load()([_left(*pair) for pair in zip(views, kept, strict=True)], step)
            kept = [_then(*pair) for pair in zip(kept, chosen, strict=True)]
        return kept

    def inside(self) -> Inside | None:
        """One for each prefill."""
        found: Inside | None = self._one("inside", self._layers, self._least)
        return found

    def evictor(self) -> Evictor | None:
        """One for each prefill."""
        found: Evictor | None = self._one("evict", self._layers)
        return found

    def cache(self, config: PreTrainedConfig) -> Cache:
        """An empty one."""
        return self._one("cache", self._layers) or DynamicCache(config=config)

    def adjust(self, logits: Tensor, last: Tensor, head: Any) -> Tensor:
        for step in self.of("contrast"):
            logits = step.method.load()(logits, last, head, step)
        return logits

    def generate(self, reader: Reader, most: int) -> list[int] | None:
        """The answer by the decoding step; None without one."""
        for step in self.of("decode"):
            said: list[int] = step.method.load()(reader, most, step)
            return said
        return None

    def _one(self, kind: str, *sizes: int) -> Any:
        for step in self.of(kind):
            return step.method.load()(step, *sizes)
        return None


def _left(view: View, kept: Kept) -> View:
    """The view as the next step sees it; what was merged into the kept is in their features."""
    if len(kept.index) == len(view.features) and kept.features is None:
        return view
    index = kept.index
    features = view.features[index] if kept.features is None else kept.features
    attention = None if view.attention is None else view.attention[index]
    keys = None if view.keys is None else view.keys[index]
    return View(features, (1, len(index)), attention, keys, kept.sizes)


def _then(before: Kept, chosen: Kept) -> Kept:
    index, features, sizes = chosen.index.to(before.index.device), chosen.features, chosen.sizes
    if features is None and before.features is not None:
        features = before.features[index]
    if sizes is None and before.sizes is not None:
        sizes = before.sizes[index]
    return Kept(before.index[index], features, sizes)
