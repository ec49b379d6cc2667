"""What a classifier makes of labelled images: embeddings and log-odds, kept so that none is judged twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from loguru import logger
from numpy.typing import NDArray
from PIL import Image

from models.checkpoint import shown_how
from models.classifier import Classifier, load_classifier
from models.embedding import Embedder
from models.imaging.decode import decode
from models.imaging.header import ImageError, Limits
from models.learn.adaptation.items import Item
from models.learn.metrics import Floats

LIMITS = Limits(bytes=16 * 2**20, pixels=25_000_000)
BATCH = 16
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Embedded:
    """n items that could be read, in order. `vectors` (n, d); `raw` (n,) log-odds before calibration;
    `space` see `models.embedding.Embedder`."""

    items: tuple[Item, ...]
    vectors: Vectors
    raw: Floats
    space: str

    def pick(self, rows: NDArray[np.bool_]) -> Embedded:
        items = tuple(item for item, keep in zip(self.items, rows, strict=True) if keep)
        return Embedded(items, self.vectors[rows], self.raw[rows], self.space)

    @property
    def roadwork(self) -> NDArray[np.bool_]:
        return np.array([item.roadwork for item in self.items], bool)

    @property
    def held(self) -> NDArray[np.bool_]:
        return np.array([item.held for item in self.items], bool)

    @property
    def aside(self) -> NDArray[np.bool_]:
        return np.array([item.aside for item in self.items], bool)

    @property
    def groups(self) -> NDArray[np.str_]:
        return np.array([item.group or item.key for item in self.items])

    @property
    def weights(self) -> Floats:
        return np.array([item.weight for item in self.items])


def embed(folder: Path, items: Sequence[Item], cache: Path | None = None) -> Embedded:
    """Judge `items` by the checkpoint in `folder`; those whose file is no image are left out, with a warning.

    `cache` a file that keeps embeddings by key and space, with all that came along before. The log-odds are
    computed from the embeddings, so that a new head needs no image either."""
    tier = load_classifier(folder)
    embedder = tier.embed(shown_how(folder))
    known = _cached(cache, embedder.space)
    _judge([item for item in items if item.key not in known], tier, embedder, known)
    _keep(cache, embedder.space, known)
    there = tuple(item for item in items if item.key in known)
    vectors = np.array([known[item.key] for item in there], np.float32).reshape(len(there), embedder.width)
    return Embedded(there, vectors, _log_odds(tier, embedder, vectors), embedder.space)


def _judge(items: Sequence[Item], tier: Classifier, embedder: Embedder, known: dict[str, Vectors]) -> None:
    for first in range(0, len(items), BATCH):
        batch = [(item.key, image) for item in items[first : first + BATCH] if (image := _open(item, tier))]
        if batch:
            tier.logits([tier.prepare(image) for _, image in batch])
            known.update(zip([key for key, _ in batch], embedder.take().numpy(), strict=True))


def _open(item: Item, tier: Classifier) -> Image.Image | None:
    try:
        found: Image.Image = decode(item.path.read_bytes(), LIMITS, side=tier.side).image
        return found
    except (OSError, ImageError) as error:
        logger.warning("the labelled image {} cannot be read: {}", item.key[:12], error)
        return None


def _log_odds(tier: Classifier, embedder: Embedder, vectors: Vectors) -> Floats:
    import torch

    with torch.inference_mode():
        logits = embedder.head(torch.from_numpy(vectors).to(tier.device)).double().cpu()
    found: Floats = tier.head.log_odds(logits).numpy()
    return found


def _cached(cache: Path | None, space: str) -> dict[str, Vectors]:
    from safetensors import SafetensorError, safe_open

    if cache is None or not cache.is_file():
        return {}
    try:
        with safe_open(cache, framework="np") as file:
            about = file.metadata() or {}
            if about.get("space") != space:
                return {}
            return dict(zip(about["keys"].split(), file.get_tensor("vectors"), strict=True))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        logger.warning("kept embeddings cannot be read, they are made anew: {}", error)
        return {}


def _keep(cache: Path | None, space: str, known: dict[str, Vectors]) -> None:
    from safetensors.numpy import save_file

    if cache is None or not known:
        return
    cache.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = cache.with_name(f".{cache.name}.new")
    stacked = np.stack(list(known.values())).astype(np.float32)
    save_file({"vectors": stacked}, fresh, {"space": space, "keys": " ".join(known)})
    fresh.replace(cache)
