"""The region member as a tier of the cascade: a folder with the head, beside the classifier's own folder."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

from models import calibration, weights
from models.calibration import Calibration
from models.checkpoint import CALIBRATION, CheckpointError
from models.classifier import resolve_device
from models.core import Evidence
from models.native import mobilenet
from models.native.mobilenet import MobileNetV2
from models.regions.boxes import boxes, features
from models.regions.look import Look, look
from models.regions.network import Backbone, Head, pool
from models.scenes.stencil import LABELS

NAME = "regions"
SETTINGS, WEIGHTS, BACKBONE_WEIGHTS = "regions.json", "head.safetensors", "model.safetensors"


@dataclass(frozen=True)
class Settings:
    """`side` of a square of as many pixels as a look has; `sharpness` of the pooling; `threshold` chance from
    which a cell counts for boxes and features; `backbone` digest of the classifier the head was made for."""

    side: int
    sharpness: float
    threshold: float
    backbone: str


class Regions:
    """A `models.core.Tier`; `side` is the shorter side down to which decoding may scale a frame."""

    shrinks = True

    def __init__(
        self,
        backbone: Backbone,
        head: Head,
        settings: Settings,
        applied: Calibration,
        version: str,
        device: str,
    ) -> None:
        self.name = NAME
        self.version = version
        self.side = settings.side
        self.settings = settings
        self.calibration = applied
        self.device = device
        module: torch.nn.Module = backbone
        module.to(torch.device(device)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._backbone, self._head = backbone, head.eval().requires_grad_(False).to(torch.device(device))

    def prepare(self, image: Image.Image, share: float = 1.0) -> Look:
        """PIL RGB image -> a look of about (`share` * `side`)^2 pixels. Thread-safe."""
        return look(image, round(share * self.settings.side))

    def evidence(self, batch: Sequence[Look]) -> list[Evidence]:
        """Judge looks, those of one shape together. Raises ArithmeticError when a logit is not finite."""
        started = time.perf_counter()
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, each in enumerate(batch):
            groups[each.pixels.shape].append(index)
        logits: dict[int, torch.Tensor] = {}
        for members in groups.values():
            logits |= zip(members, self.logits([batch[index] for index in members]), strict=True)
        said = [self._said(logits[index], each) for index, each in enumerate(batch)]
        cost = (time.perf_counter() - started) * 1e3 / max(len(batch), 1)
        return [Evidence(self.name, self.version, odds, cost, more, found) for odds, more, found in said]

    def logits(self, looks: Sequence[Look]) -> torch.Tensor:
        """(batch, classes, height / 16, width / 16) float64 on the CPU, of looks of one shape."""
        pixels = torch.from_numpy(np.stack([each.pixels for each in looks]))
        with torch.inference_mode():
            placed = pixels.to(self.device, memory_format=torch.channels_last)
            logits: torch.Tensor = self._head(self._backbone(placed))
        return logits.double().cpu()

    def _said(self, logits: torch.Tensor, seen: Look) -> tuple[float, dict[str, float], tuple[Any, ...]]:
        raw = float(pool(logits[None], self.settings.sharpness)[0, 0])
        if not np.isfinite(raw):
            raise ArithmeticError("the region map's logits are not finite")
        chances = logits.sigmoid().numpy()
        found = boxes(chances, seen.window, LABELS, self.settings.threshold)
        more = features(chances, found, LABELS, self.settings.threshold)
        return self.calibration.apply(raw), more, tuple(found)


def load_regions(
    path: str | Path | None = None, *, backbone: str | Path | None = None, device: str = "cpu"
) -> Regions:
    """`path` the head's folder, `backbone` the classifier's (both ours by default); `device` as
    `models.classifier.resolve_device` takes it. Raises CheckpointError, also for a head that was trained on
    another backbone."""
    folder, below = Path(path or weights.REGIONS), Path(backbone or weights.DEFAULT)
    target = resolve_device(device)
    network, settings = open_backbone(below), read_settings(folder)
    if settings.backbone != digest(below):
        raise CheckpointError(
            f"the region head in {folder} was trained on classifier {settings.backbone}, and {below} is "
            f"{digest(below)}: train it anew with python -m models.learn.regions"
        )
    trunk = Backbone(network)
    head = _head(folder, trunk)
    try:
        applied = calibration.read(folder / CALIBRATION)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    tier = Regions(trunk, head, settings, applied, _version(folder, settings), target)
    tier.evidence([tier.prepare(Image.new("RGB", (64, 48), (128, 128, 128)))])
    return tier


def open_backbone(folder: Path) -> MobileNetV2:
    """The classifier whose maps the head reads, in single precision. Raises CheckpointError."""
    config = mobilenet.read(folder)
    if config is None:
        raise CheckpointError(f"{folder} does not hold a MobileNetV2 classifier")
    try:
        return mobilenet.load(folder, config)
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{folder} does not load as a MobileNetV2 classifier: {error}") from error


def read_settings(folder: Path) -> Settings:
    """From `regions.json`. Raises CheckpointError."""
    try:
        return Settings(**json.loads((folder / SETTINGS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{folder / SETTINGS} does not describe a region head: {error}") from error


def digest(folder: Path) -> str:
    """Twelve hexadecimal digits over the classifier's weights."""
    return sha256((folder / BACKBONE_WEIGHTS).read_bytes()).hexdigest()[:12]


def _head(folder: Path, trunk: Backbone) -> Head:
    head = Head(*trunk.channels)
    try:
        stored = load_file(folder / WEIGHTS)
        head.load_state_dict({name: tensor.float() for name, tensor in stored.items()})
    except (OSError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{folder / WEIGHTS} is not this backbone's region head: {error}") from error
    return head


def _version(folder: Path, settings: Settings) -> str:
    """Twelve hexadecimal digits over head, settings (the backbone's digest among them) and calibration."""
    parts = (folder / name for name in (SETTINGS, WEIGHTS, CALIBRATION))
    return sha256(b"".join(part.read_bytes() for part in parts if part.is_file())).hexdigest()[:12]
