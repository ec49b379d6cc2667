"""A retrofitted classifier as a member of the cascade: large patches where a picture is flat, base patches
where the members before it saw something."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from models.calibration import Calibration
from models.checkpoint import PREPROCESSOR, CheckpointError, Head, locate
from models.classifier import load_classifier
from models.compress.apt.quadtree import Box as Edges
from models.compress.apt.quadtree import forced_by_boxes
from models.compress.apt.vit import SETTINGS, WEIGHTS, AdaptiveClassifier, restore
from models.compress.spent import KEPT
from models.core import Box, Evidence
from models.preprocess import Pixels, Preprocess
from models.preprocess import read as read_preprocess

NAME = "adaptive"


@dataclass(frozen=True)
class Item:
    """A prepared view, and what others saw in it, in its pixels."""

    pixels: Pixels
    boxes: tuple[Edges, ...] = ()


class AdaptiveMember:
    """A `models.core.Tier`, guided: patches that meet a box of `prepare` stay base patches."""

    guided = True

    def __init__(
        self,
        model: AdaptiveClassifier,
        head: Head,
        prepare: Preprocess,
        applied: Calibration,
        version: str,
        *,
        name: str = NAME,
    ) -> None:
        self.name, self.version, self.side = name, version, prepare.side
        self.head, self.calibration = head, applied
        self._model, self._prepare = model, prepare
        self.device = str(next(model.parameters()).device)

    def prepare(self, image: Image.Image, boxes: Sequence[Box] = ()) -> Item:
        """PIL RGB image and the boxes that others saw in it. Thread-safe."""
        place = self._prepare.place
        edges = tuple(place((each.x0, each.y0, each.x1, each.y1), image.size) for each in boxes)
        return Item(self._prepare(image), edges)

    def evidence(self, batch: Sequence[Item]) -> list[Evidence]:
        """Judge prepared views; feature `kept_tokens`: patches there were. Raises ArithmeticError, naming the
        items, when a logit is not finite."""
        started = time.perf_counter()
        logits, counts = self._look(batch)
        odds = self.head.log_odds(logits).tolist()
        if bad := [str(index) for index, each in enumerate(odds) if not np.isfinite(each)]:
            raise ArithmeticError(f"the model's logits are not finite for item {', '.join(bad)}")
        ms = (time.perf_counter() - started) * 1e3 / max(len(batch), 1)
        return [
            Evidence(self.name, self.version, self.calibration.apply(each), ms, {KEPT: float(count)})
            for each, count in zip(odds, counts, strict=True)
        ]

    @torch.inference_mode()
    def _look(self, batch: Sequence[Item]) -> tuple[torch.Tensor, list[int]]:
        """(batch, labels) float64 logits on the CPU, and how many patches each view became."""
        given = torch.from_numpy(np.stack([item.pixels for item in batch])).to(self.device)
        backbone, size = self._model.backbone, (given.shape[2], given.shape[3])
        forced = forced_by_boxes([item.boxes for item in batch], size, backbone.patch)
        partition = backbone.partition(self._bytes(given), forced)
        return self._model(given, partition).double().cpu(), partition.counts().tolist()

    def _bytes(self, pixels: torch.Tensor) -> torch.Tensor:
        """What was normalised, back in whole numbers of [0, 255]."""
        scale, bias = (
            torch.tensor(each, device=pixels.device).view(1, 3, 1, 1)
            for each in (self._prepare.scale, self._prepare.bias)
        )
        return ((pixels - bias) / scale).round().clamp(0, 255)


def load_adaptive(
    path: str | Path | None, *, name: str = NAME, device: str = "cpu", **options: Any
) -> AdaptiveMember:
    """The folder that `python -m models.learn.compression.apt` left. `options` of `load_classifier` (label,
    temperature, threshold, revision). Raises CheckpointError."""
    if path is None:
        raise CheckpointError("an adaptive classifier needs the path of one: none is built in")
    folder = locate(path, options.pop("revision", None))
    if missing := [file for file in (SETTINGS, WEIGHTS) if not (folder / file).is_file()]:
        raise CheckpointError(f"{folder} has no {missing[0]}: retrofit it (docs/cascade.md)")
    plain = load_classifier(folder, device=device, **options)
    try:
        model = restore(plain.network, folder).to(plain.device)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{folder} holds no adaptive patches for its model: {error}") from error
    version = sha256(plain.version.encode())
    for file in (SETTINGS, WEIGHTS):
        version.update((folder / file).read_bytes())
    prepare = read_preprocess(folder / PREPROCESSOR)
    return AdaptiveMember(model, plain.head, prepare, plain.calibration, version.hexdigest()[:12], name=name)
