"""Adaptive patches in a VLM's vision encoder: the step "apt", of the kind weights.

The encoder works on large patches where a picture is flat; what it hands to the projector is the full grid
again, a large cell's state at each of its patches, so the language model is none the wiser. It is the encoder
that gets cheaper; visual tokens are pruned by other steps. Encoders of the SigLIP kind (LLaVA and its like)
are taken. Their pixels are taken back to [0, 255] by SigLIP's mean and deviation of a half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

from models.compress.apt.packed import Packed
from models.compress.apt.vit import Adaptive, AdaptiveViT
from models.compress.step import Step

ENCODER = "siglip_vision_model"


def convert(model: nn.Module, step: Step) -> None:
    """ "apt [fine=4.5] [coarse=3.5] [colour=true] [strict=true]", the thresholds in bits for cells of 2 and 4
    patches a side; -1 never merges."""
    settings = Adaptive(
        (step.number("fine", 4.5), step.number("coarse", 3.5)),
        colour=step.switch("colour", True),
        strict=step.switch("strict", True),
    )
    towers = [each for each in model.modules() if _is_tower(each)]
    if not towers:
        raise ValueError(f"'{step}' takes encoders of the kind {ENCODER}; this model has none")
    for tower in towers:
        tower.forward = Adapted(tower, settings).see


def _is_tower(module: nn.Module) -> bool:
    config = getattr(module, "config", None)
    return getattr(config, "model_type", None) == ENCODER and hasattr(module, "embeddings")


class Adapted:
    """What an encoder does instead of its own forward."""

    def __init__(self, tower: nn.Module, settings: Adaptive) -> None:
        self._vit = AdaptiveViT(tower, settings)

    def see(self, pixel_values: Tensor, **options: Any) -> BaseModelOutputWithPooling:
        """(batch, patches, width) states, as the encoder gives them; `options` of it change nothing here."""
        pixels = (pixel_values.float() * 127.5 + 127.5).clamp(0, 255)
        partition = self._vit.partition(pixels)
        states: list[Packed] = []
        last = self._vit(pixel_values, partition, states)
        grid = partition.grid
        layers: Any = Layers(states, grid)
        return BaseModelOutputWithPooling(
            last_hidden_state=last.dense(grid).flatten(1, 2), hidden_states=layers
        )


@dataclass(frozen=True)
class Layers(Sequence[Tensor]):
    """States after the embedding and after each layer, each made dense when it is asked for."""

    states: list[Packed]
    grid: tuple[int, int]

    def __len__(self) -> int:
        return len(self.states)

    def __getitem__(self, at: Any) -> Any:
        return self.states[at].dense(self.grid).flatten(1, 2)
