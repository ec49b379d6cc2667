"""Adaptive patches in a VLM's vision encoder: the step "apt", of the kind weights.

The encoder works on large patches where a picture is flat; what it hands to the projector is the full grid
again, a large cell's state at each of its patches, so the language model is none the wiser. It is the encoder
that gets cheaper; visual tokens are pruned by other steps. Taken are encoders whose tokens attend to all the
others of a square picture, by a table of positions: SigLIP's (LLaVA, LLaVA-OneVision), SmolVLM's and
Idefics3's (which read a padded picture as ever) and InternVL's. Qwen's are refused: they attend in windows,
turn positions by angles and merge neighbours by twos, so a large cell has no place in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

from models.compress.apt.packed import Packed
from models.compress.apt.vit import Adaptive, AdaptiveViT
from models.compress.step import Step

HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
ENCODERS = {
    "siglip_vision_model": HALVES,
    "smolvlm_vision": HALVES,
    "idefics3_vision": HALVES,
    "internvl_vision": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Type of encoder -> mean and deviation, of values in [0, 1], that its pixels were normalised by."""


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
        raise ValueError(f"'{step}' takes encoders of the kinds {', '.join(ENCODERS)}; this model has none")
    for tower in towers:
        tower.forward = Adapted(tower, settings).see


def _is_tower(module: nn.Module) -> bool:
    config = getattr(module, "config", None)
    return getattr(config, "model_type", None) in ENCODERS and hasattr(module, "embeddings")


class Adapted:
    """What an encoder does instead of its own forward."""

    def __init__(self, tower: Any, settings: Adaptive) -> None:
        self._plain = tower.forward
        self._vit = AdaptiveViT(tower, settings)
        self._mean, self._std = ENCODERS[tower.config.model_type]

    def see(self, pixel_values: Tensor, **options: Any) -> Any:
        """(batch, prefix and patches, width) states, as the encoder gives them; of its `options` only a mask
        that hides patches changes anything: then the encoder itself answers."""
        mask = options.get("patch_attention_mask")
        if mask is not None and not bool(mask.all()):
            return self._plain(pixel_values, **options)
        mean, std = (
            pixel_values.new_tensor(each).view(1, 3, 1, 1).float() for each in (self._mean, self._std)
        )
        pixels = ((pixel_values.float() * std + mean) * 255).round().clamp(0, 255)
        partition = self._vit.partition(pixels)
        states: list[Packed] = []
        last = self._vit(pixel_values, partition, states)
        grid = partition.grid
        layers: Any = Layers(states, grid)
        return BaseModelOutputWithPooling(last_hidden_state=_whole(last, grid), hidden_states=layers)


@dataclass(frozen=True)
class Layers(Sequence[Tensor]):
    """States after the embedding and after each layer, each made dense when it is asked for."""

    states: list[Packed]
    grid: tuple[int, int]

    def __len__(self) -> int:
        return len(self.states)

    def __getitem__(self, at: Any) -> Any:
        return _whole(self.states[at], self.grid)


def _whole(packed: Packed, grid: tuple[int, int]) -> Tensor:
    """(batch, prefix and patches, width)."""
    patches = packed.dense(grid).flatten(1, 2)
    return torch.cat([packed.first()[:, None], patches], dim=1) if packed.prefixes else patches
