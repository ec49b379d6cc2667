"""ViT, DINOv2 and SigLIP of transformers, with patches as large as a picture allows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.compress.apt import packed
from models.compress.apt.entropy import BINS, entropies
from models.compress.apt.packed import Packed
from models.compress.apt.patches import Coarse, tokens
from models.compress.apt.quadtree import Partition, divide

SETTINGS, WEIGHTS = "adaptive.json", "adaptive.safetensors"


@dataclass(frozen=True)
class Adaptive:
    """`thresholds` in bits for cells of 2, 4, ... patches a side (-1: never); `bins` of the histograms;
    `colour` whether chroma counts; `strict` as in `quadtree.divide`.

    The defaults are for patches of 14 to 16 px. They lie below the published 5.75 and 4.0, which merge a
    distant cone away.
    """

    thresholds: tuple[float, ...] = (4.5, 3.5)
    bins: int = BINS
    colour: bool = True
    strict: bool = True


@dataclass(frozen=True)
class Anatomy:
    """Where a model keeps what is needed; tensors are made anew at each call, so training reaches them.
    `masked` whether its layers take a mask as well."""

    projection: nn.Conv2d
    prefix: Tensor | None
    table: Tensor
    layers: nn.ModuleList
    norm: nn.Module
    masked: bool = True


def _vit(model: Any) -> Anatomy:
    inside = model.embeddings
    position = inside.position_embeddings
    prefix = (inside.cls_token + position[:, :1])[0]
    return Anatomy(inside.patch_embeddings.projection, prefix, position[0, 1:], model.layers, model.layernorm)


def _dinov2(model: Any) -> Anatomy:
    inside = model.embeddings
    position = inside.position_embeddings
    prefix = (inside.cls_token + position[:, :1])[0]
    layers = model.encoder.layer
    return Anatomy(inside.patch_embeddings.projection, prefix, position[0, 1:], layers, model.layernorm)


def _internvl(model: Any) -> Anatomy:
    inside = model.embeddings
    position = inside.position_embeddings
    if position is None:
        raise ValueError("adaptive patches need a table of positions, and this encoder has none")
    prefix = (inside.cls_token + position[:, :1])[0]
    projection, layers = inside.patch_embeddings.projection, model.encoder.layer
    return Anatomy(projection, prefix, position[0, 1:], layers, model.layernorm, masked=False)


def _siglip(model: Any) -> Anatomy:
    inside = model.embeddings
    table = inside.position_embedding.weight
    return Anatomy(inside.patch_embedding, None, table, model.encoder.layers, model.post_layernorm)


ANATOMIES: Mapping[str, Callable[[Any], Anatomy]] = {
    "vit": _vit,
    "dinov2": _dinov2,
    "siglip_vision_model": _siglip,
    "smolvlm_vision": _siglip,
    "idefics3_vision": _siglip,
    "internvl_vision": _internvl,
}
"""Model type -> where its parts are. A ViT of another type is one function and one line."""


class AdaptiveViT(nn.Module):
    """A vision model of `ANATOMIES` on packed sequences. Raises ValueError for another type of model."""

    def __init__(self, model: Any, settings: Adaptive | None = None) -> None:
        super().__init__()
        kind = model.config.model_type
        if kind not in ANATOMIES:
            raise ValueError(f"adaptive patches know {', '.join(ANATOMIES)}, not {kind}")
        self.settings = settings or Adaptive()
        self.model = model
        self._anatomy = ANATOMIES[kind]
        self.coarse = Coarse(model.config.hidden_size)
        model.set_attn_implementation(packed.NAME)

    @property
    def patch(self) -> int:
        """Pixels of a base patch's side."""
        return int(self._anatomy(self.model).projection.kernel_size[0])

    def partition(self, pixels: Tensor, forced: Tensor | None = None) -> Partition:
        """Of RGB `pixels` (batch, 3, h, w) in [0, 255]; `forced` as in `quadtree.divide`."""
        patch, settings = self.patch, self.settings
        found = entropies(pixels, patch, len(settings.thresholds) + 1, settings.bins, settings.colour)
        grid = (pixels.shape[2] // patch, pixels.shape[3] // patch)
        return divide(found, settings.thresholds, grid, forced, settings.strict)

    def forward(
        self, pixel_values: Tensor, partition: Partition, states: list[Packed] | None = None
    ) -> Packed:
        """After the last norm. `pixel_values` (batch, 3, h, w) normalised as the model wants them; `states`
        is filled with what goes into the layers, and comes out of each."""
        parts = self._anatomy(self.model)
        table = _resampled(parts.table, partition.grid)
        found = tokens(pixel_values, partition, parts.projection, table, parts.prefix, self.coarse)
        if states is not None:
            states.append(found)
        masks = (None,) if parts.masked else ()
        with packed.segments(found.lengths):
            for layer in parts.layers:
                found = found.with_states(layer(found.states, *masks))
                if states is not None:
                    states.append(found)
        return found.with_states(parts.norm(found.states))


def _resampled(table: Tensor, grid: tuple[int, int]) -> Tensor:
    """The square position table (n, width) as (rows, columns, width); as transformers does, bicubic."""
    side = round(len(table) ** 0.5)
    square = table.reshape(side, side, -1)
    if (side, side) == grid:
        return square
    turned = square.movedim(-1, 0)[None]
    found: Tensor = nn.functional.interpolate(turned, grid, mode="bicubic", align_corners=False)
    return found[0].movedim(0, -1)


class AdaptiveClassifier(nn.Module):
    """An image classification model of transformers with an `AdaptiveViT` for its backbone.

    Raises ValueError for a model that `ANATOMIES` does not know.
    """

    def __init__(self, model: Any, settings: Adaptive | None = None) -> None:
        super().__init__()
        self.model = model
        siglip = model.config.model_type == "siglip"
        self.backbone = AdaptiveViT(model.vision_model if siglip else model.base_model, settings)

    def forward(self, pixel_values: Tensor, partition: Partition) -> Tensor:
        """(batch, labels) logits, pooled as the model itself pools."""
        found = self.backbone(pixel_values, partition)
        kind = self.backbone.model.config.model_type
        if kind == "vit":
            pooled = found.first()
        elif kind == "dinov2":
            pooled = torch.cat([found.first(), found.mean()], dim=1)
        else:
            pooled = found.mean()
        logits: Tensor = self.model.classifier(pooled)
        return logits

    def save(self, folder: Path) -> None:
        """The model as transformers saves it, and beside it what is adaptive."""
        self.model.save_pretrained(folder)
        save_file(self.backbone.coarse.state_dict(), folder / WEIGHTS)
        settings = json.dumps(asdict(self.backbone.settings), indent=2)
        (folder / SETTINGS).write_text(settings + "\n", encoding="utf-8")


def restore(model: Any, folder: Path) -> AdaptiveClassifier:
    """What `AdaptiveClassifier.save` left, around the `model` that was loaded from the same folder; in
    evaluation mode. Raises ValueError, KeyError or TypeError for files that are none, and RuntimeError for
    weights of another width."""
    written = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    settings = Adaptive(**{**written, "thresholds": tuple(written["thresholds"])})
    adaptive = AdaptiveClassifier(model, settings)
    adaptive.backbone.coarse.load_state_dict(load_file(folder / WEIGHTS))
    return adaptive.train(False)
