"""Who teaches. No teacher is trained: evaluation mode, no gradients, and nothing of it in a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from models.checkpoint import PREPROCESSOR, CheckpointError, locate
from models.classifier import load_classifier
from models.core import Tier
from models.embedding import Embedder
from models.learn.distil.anchors import prompts
from models.preprocess import Preprocess
from models.preprocess import read as read_preprocess

Soft = Callable[[torch.Tensor], torch.Tensor]
"""Views (batch, 3, side, side) in [-1, 1] -> calibrated log-odds (batch,)."""


class ImageText(Protocol):
    """Images and texts in one space of `width`; `anchors` (texts, width) have unit length."""

    width: int
    anchors: torch.Tensor

    def look(self, views: torch.Tensor) -> torch.Tensor:
        """Views (batch, 3, side, side) in [-1, 1] -> (batch, width), unit length, without gradients."""
        ...


def to_images(views: torch.Tensor) -> list[Image.Image]:
    """Views in [-1, 1] as pictures, as they were before they became a batch."""
    pixels = ((views.detach().cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return [Image.fromarray(each) for each in pixels.permute(0, 2, 3, 1).contiguous().numpy()]


def ensemble(tiers: Sequence[Tier]) -> Soft:
    """The mean of the members' calibrated log-odds."""

    def teach(views: torch.Tensor) -> torch.Tensor:
        images = to_images(views)
        said = [[each.log_odds for each in tier.evidence([*map(tier.prepare, images)])] for tier in tiers]
        return torch.tensor(np.mean(said, axis=0), dtype=views.dtype, device=views.device)

    return teach


def checkpoints(folders: Sequence[str | Path], device: str) -> Soft:
    """An ensemble of classifiers, each with the calibration beside it. Raises CheckpointError."""
    return ensemble([load_classifier(folder, device=device) for folder in folders])


def cascade(folder: Path) -> Soft:
    """A whole cascade, everybody asked, fused and calibrated as it serves. Raises ValueError."""
    from models.learn.cascade.whole import judge_whole
    from models.learn.judge import ENCODED

    judge = judge_whole(folder)

    def teach(views: torch.Tensor) -> torch.Tensor:
        images = to_images(views)
        for image in images:
            image.info[ENCODED] = image.width * image.height // 8  # about what a JPEG of it takes
        return torch.tensor(judge(images), dtype=views.dtype, device=views.device)

    return teach


class Clip:
    """CLIP, SigLIP and their kin from transformers. Raises CheckpointError."""

    def __init__(
        self, path: str, revision: str | None, device: str, texts: Sequence[str] | None = None
    ) -> None:
        from transformers import AutoModel, AutoTokenizer

        folder = locate(path, revision)
        told: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            model: Any = AutoModel.from_pretrained(folder, use_safetensors=True, dtype=torch.float32, **told)
            tokenizer: Any = AutoTokenizer.from_pretrained(folder, **told)
            self._prepare: Preprocess = read_preprocess(folder / PREPROCESSOR)
        except (ValueError, OSError, KeyError) as error:
            raise CheckpointError(f"{path} is no image-and-text model: {error}") from error
        if not hasattr(model, "get_image_features") or not hasattr(model, "get_text_features"):
            raise CheckpointError(f"{path} has no image and text features: it is a {type(model).__name__}")
        self._model, self._device = model.to(device).train(False), device
        self.anchors = self._words(tokenizer, prompts() if texts is None else list(texts))
        self.width = int(self.anchors.shape[1])

    def look(self, views: torch.Tensor) -> torch.Tensor:
        pixels = np.stack([self._prepare(image) for image in to_images(views)])
        with torch.no_grad():
            found = self._model.get_image_features(pixel_values=torch.from_numpy(pixels).to(self._device))
        return _unit(found).to(views)

    def _words(self, tokenizer: Any, texts: Sequence[str]) -> torch.Tensor:
        longest = getattr(self._model.config, "text_config", self._model.config).max_position_embeddings
        batch = tokenizer(
            list(texts), padding="max_length", max_length=longest, truncation=True, return_tensors="pt"
        )
        words = {
            name: batch[name].to(self._device) for name in ("input_ids", "attention_mask") if name in batch
        }
        with torch.no_grad():
            return _unit(self._model.get_text_features(**words))


class Table:
    """A classifier's embedding as the image side and a table of vectors in it as the text side.

    `anchors` (texts, width) as `models.learn.distil.drawn` learns them; images are `centre`d first, since an
    embedding after a ReLU points into one corner."""

    def __init__(
        self, folder: Path, anchors: torch.Tensor, centre: torch.Tensor, device: str = "cpu"
    ) -> None:
        self._tier = load_classifier(folder, device=device)
        self._embedder: Embedder = self._tier.embed()
        self._centre = centre
        self.anchors = functional.normalize(anchors, dim=1)
        self.width = int(anchors.shape[1])

    def look(self, views: torch.Tensor) -> torch.Tensor:
        self._tier.evidence([self._tier.prepare(image) for image in to_images(views)])
        return functional.normalize(self._embedder.take() - self._centre, dim=1).to(views)


def _unit(found: Any) -> torch.Tensor:
    """Some models wrap their features."""
    rows: torch.Tensor = found if isinstance(found, torch.Tensor) else found.pooler_output
    return functional.normalize(rows.float(), dim=1)
