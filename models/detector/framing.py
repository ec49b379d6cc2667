"""A detector's `preprocessor_config.json` as one function: RGB image -> float32 array, and the way back.

Own code on PIL, since transformers' fast processors need torchvision. Images are never padded to one another:
the tier judges those of one shape together, so that an answer cannot depend on its neighbours in the batch.
Resizing is PIL's bilinear or what `resample` says, always antialiased (RF-DETR's own is not).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.preprocess import Preprocess, normalisation

_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
_EDGES = {"size": {"shortest_edge": 800, "longest_edge": 1333}, "do_normalize": True, **_IMAGENET}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "RTDetr": {"size": {"height": 640, "width": 640}, "do_normalize": False, **_IMAGENET},
    "Owlv2": {"size": {"height": 960, "width": 960}, "do_normalize": True, **_CLIP},
    "OwlViT": {"size": {"height": 768, "width": 768}, "do_normalize": True, "resample": 3, **_CLIP},
    "Yolos": _EDGES,
    "RfDetr": _EDGES,
    "Detr": _EDGES,
    "ConditionalDetr": _EDGES,
    "DeformableDetr": _EDGES,
    "GroundingDino": _EDGES,
}
"""Processor -> what its class takes where the file is silent (the classes of transformers 5)."""

_SUFFIXES = ("ImageProcessorFast", "ImageProcessorPil", "ImageProcessor", "FeatureExtractor")


@dataclass(frozen=True, slots=True)
class Framed:
    """`pixels` float32 (3, height, width); a box relative to them times `across`, `down` is one relative to
    the view (above 1 where the view was padded)."""

    pixels: NDArray[np.float32]
    across: float = 1.0
    down: float = 1.0


@dataclass(frozen=True)
class Framing:
    """`size`: {height, width}, {shortest_edge, longest_edge} or {max_height, max_width}; `square`: pad to
    a square with black below and to the right first (OWLv2). `scale`, `bias` as `models.preprocess` has them.
    """

    size: Mapping[str, int]
    square: bool
    resample: int
    scale: tuple[float, float, float]
    bias: tuple[float, float, float]

    @property
    def side(self) -> int:
        """The shorter side in px below which scaling an image down beforehand would cost detail."""
        return max(self.size.get(key, 0) for key in ("height", "width", "shortest_edge", "max_height"))

    def __call__(self, image: Image.Image) -> Framed:
        """Thread-safe."""
        across = down = 1.0
        if self.square:
            edge = max(image.size)
            across, down = edge / image.width, edge / image.height
            padded = Image.new("RGB", (edge, edge))
            padded.paste(image)
            image = padded
        shape = self._shape(image.height, image.width)
        return Framed(Preprocess(shape, shape, self.resample, self.scale, self.bias)(image), across, down)

    def _shape(self, height: int, width: int) -> tuple[int, int]:
        size = self.size
        if "height" in size:
            return size["height"], size["width"]
        if "max_height" in size:
            ratio = min(size["max_height"] / height, size["max_width"] / width)
        else:
            ratio = size["shortest_edge"] / min(height, width)
            ratio = min(ratio, size.get("longest_edge", 10**6) / max(height, width))
        return max(1, round(height * ratio)), max(1, round(width * ratio))


def read(path: Path) -> Framing:
    """From a `preprocessor_config.json`. Raises ValueError with the file's name and what it cannot do."""
    try:
        return build(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: {error}") from error


def build(config: Mapping[str, Any]) -> Framing:
    """From the file's content. Raises ValueError."""
    kind = _kind(config)
    given = {key: value for key, value in config.items() if value is not None}
    base = {"do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255, "resample": 2}
    options = base | _DEFAULTS[kind] | given
    if not options["do_resize"]:
        raise ValueError("do_resize: false is not supported: images come in every size")
    if options.get("pad_size"):
        raise ValueError("pad_size is not supported: images are judged by shape, without padding")
    scale, bias = normalisation(options)
    return Framing(_size(options["size"]), kind == "Owlv2", int(options["resample"]), scale, bias)


def _kind(config: Mapping[str, Any]) -> str:
    name = config.get("image_processor_type") or config.get("feature_extractor_type") or "(none)"
    for suffix in _SUFFIXES:
        if name.removesuffix(suffix) in _DEFAULTS:
            return str(name.removesuffix(suffix))
    raise ValueError(f"image_processor_type {name} is not supported; these are: {', '.join(_DEFAULTS)}")


def _size(size: Any) -> dict[str, int]:
    if isinstance(size, Mapping):
        found = {str(key): int(value) for key, value in size.items() if value is not None}
        sets = ({"height", "width"}, {"shortest_edge", "longest_edge"}, {"shortest_edge"})
        if set(found) in (*sets, {"max_height", "max_width"}) and min(found.values()) > 0:
            return found
    raise ValueError(f"size {size!r} is not supported: it is height and width, or edges")
