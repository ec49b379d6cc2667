"""A transformers `preprocessor_config.json` as one fast function: RGB image -> float32 array.

Own code on PIL and numpy, because transformers' fast processors need torchvision. The result agrees with the
PIL processors of transformers to rounding. Every option is either honoured or refused by name: an option that
is silently ignored costs accuracy that nobody can find later.
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

_HALF = [0.5, 0.5, 0.5]
_CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
_SHARED: dict[str, Any] = {
    "do_resize": True,
    "do_center_crop": False,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": _HALF,
    "image_std": _HALF,
}
_CROPPED = {"do_center_crop": True, "crop_size": 224}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "ViT": {"size": {"height": 224, "width": 224}, "resample": 2},
    "DeiT": {"size": {"height": 256, "width": 256}, "resample": 3, **_CROPPED},
    "Siglip": {"size": {"height": 224, "width": 224}, "resample": 3},
    "Bit": {"size": {"shortest_edge": 224}, "resample": 3, **_CROPPED, **_CLIP},
    "CLIP": {"size": {"shortest_edge": 224}, "resample": 3, **_CROPPED, **_CLIP},
    "ConvNext": {"size": {"shortest_edge": 384}, "resample": 3, "crop_pct": 224 / 256},
    "MobileNetV1": {"size": {"shortest_edge": 256}, "resample": 2, **_CROPPED},
    "MobileNetV2": {"size": {"shortest_edge": 256}, "resample": 2, **_CROPPED},
}
"""Processor -> what its class takes where the file is silent (the classes of transformers 5)."""

_SQUARE = {"ViT", "DeiT"}
"""Processors that read a bare number as a square; the others as the shortest edge."""

_SUFFIXES = ("ImageProcessorFast", "ImageProcessorPil", "ImageProcessor", "FeatureExtractor")
_REMARKS = {
    "image_processor_type",
    "feature_extractor_type",
    "processor_class",
    "_processor_class",
    "do_convert_rgb",
    "do_reduce_labels",
    "data_format",
    "input_data_format",
    "return_tensors",
    "device",
    "disable_grouping",
    "use_fast",
}
"""Keys that change nothing here: the image is RGB already, and there are no label maps."""

Pixels = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Preprocess:
    """Resize, centre crop, scale and normalise. Thread-safe; PIL's resize releases the GIL.

    `resize`  (height, width) to resize to, or the length of the shorter edge with the aspect kept.
    `crop`    (height, width) cut from the middle of the resized image; the output's size.
    `resample` PIL's number of the filter; `scale`, `bias` per channel: output = 8-bit value * scale + bias.
    """

    resize: tuple[int, int] | int
    crop: tuple[int, int]
    resample: int
    scale: tuple[float, float, float]
    bias: tuple[float, float, float]

    @property
    def side(self) -> int:
        """The shorter side in pixels below which scaling an image down beforehand would cost detail."""
        return self.resize if isinstance(self.resize, int) else max(self.resize)

    def __call__(self, image: Image.Image) -> Pixels:
        """RGB image of any size -> float32 (3, height, width)."""
        height, width = self.crop
        small = image.resize((width, height), Image.Resampling(self.resample), self.window(image.size))
        out = np.empty((3, height, width), np.float32)
        planes = np.asarray(small).transpose(2, 0, 1)
        np.multiply(planes, np.array(self.scale, np.float32)[:, None, None], out=out)
        out += np.array(self.bias, np.float32)[:, None, None]
        return out

    def place(
        self, box: tuple[float, float, float, float], size: tuple[int, int]
    ) -> tuple[float, float, float, float]:
        """A box (left, top, right, bottom) relative to an image of `size` (width, height), in the output's
        pixels; outside of it where the crop left it out."""
        left, top, right, bottom = self.window(size)
        across, down = self.crop[1] / (right - left), self.crop[0] / (bottom - top)
        x0, y0, x1, y1 = box
        return (
            (x0 * size[0] - left) * across,
            (y0 * size[1] - top) * down,
            (x1 * size[0] - left) * across,
            (y1 * size[1] - top) * down,
        )

    def window(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """The part of the image that ends up in the crop.

        Resizing only that is the same filter on the same grid as resizing everything and cropping, but for
        rounding between its two passes; and a strip of 3 x 60,000 pixels cannot grow to gigabytes on the way.
        """
        width, height = size
        rows, columns = self._resized(width, height)
        top, left = (rows - self.crop[0]) // 2, (columns - self.crop[1]) // 2
        y, x = height / rows, width / columns
        right, bottom = min((left + self.crop[1]) * x, width), min((top + self.crop[0]) * y, height)
        return left * x, top * y, right, bottom

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        if not isinstance(self.resize, int):
            return self.resize
        short = min(width, height)
        return int(self.resize * height / short), int(self.resize * width / short)


def read(path: Path) -> Preprocess:
    """From a `preprocessor_config.json`. Raises ValueError with the file's name and what it cannot do."""
    try:
        return build(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: {error}") from error


def build(config: Mapping[str, Any]) -> Preprocess:
    """From the file's content. Raises ValueError naming the option that is unknown or cannot be honoured."""
    kind = _kind(config)
    known = _SHARED | _DEFAULTS[kind] | {"crop_size": _DEFAULTS[kind].get("crop_size")}
    given = {key: value for key, value in config.items() if value is not None and key not in _REMARKS}
    if unknown := sorted(key for key, value in given.items() if key not in known and value is not False):
        raise ValueError(f"options that are not supported: {', '.join(unknown)}")
    options = known | {key: value for key, value in given.items() if key in known}
    if not options["do_resize"]:
        raise ValueError("do_resize: false is not supported: images come in every size")
    resize, crop = _geometry(kind, options)
    scale, bias = normalisation(options)
    return Preprocess(resize, crop, Image.Resampling(options["resample"]).value, scale, bias)


def _kind(config: Mapping[str, Any]) -> str:
    name = config.get("image_processor_type") or config.get("feature_extractor_type") or "(none)"
    for suffix in _SUFFIXES:
        if name.removesuffix(suffix) in _DEFAULTS:
            return str(name.removesuffix(suffix))
    supported = ", ".join(sorted(_DEFAULTS))
    raise ValueError(f"image_processor_type {name} is not supported; these are: {supported}")


def _geometry(kind: str, options: Mapping[str, Any]) -> tuple[tuple[int, int] | int, tuple[int, int]]:
    """(resize, crop) as `Preprocess` has them."""
    size = _size("size", options["size"], square=kind in _SQUARE)
    crop = _size("crop_size", options["crop_size"], square=True) if options["do_center_crop"] else None
    if kind == "ConvNext":
        return _convnext(size, options["crop_pct"], crop)
    if isinstance(crop, int):
        raise ValueError("crop_size needs height and width")
    if crop is None and isinstance(size, int):
        raise ValueError("size with shortest_edge needs do_center_crop: a batch holds images of one shape")
    result = crop or (size if not isinstance(size, int) else (size, size))
    if min(_axes(size)) < 1 or any(c > s for c, s in zip(result, _axes(size), strict=True)):
        raise ValueError(f"crop_size {result} is larger than size {size}")
    return size, result


def _convnext(size: tuple[int, int] | int, crop_pct: float, crop: object) -> tuple[Any, tuple[int, int]]:
    """ConvNeXT's own rule: below 384 resize to edge / crop_pct and crop, from 384 on squash to a square."""
    if not isinstance(size, int) or crop is not None:
        raise ValueError("a ConvNext processor takes size with shortest_edge, and no do_center_crop")
    if not 0 < crop_pct <= 1:
        raise ValueError(f"crop_pct must lie in (0, 1], not {crop_pct}")
    return (int(size / crop_pct) if size < 384 else (size, size)), (size, size)


def _size(name: str, value: Any, *, square: bool) -> tuple[int, int] | int:
    if isinstance(value, int):
        return (value, value) if square else value
    if isinstance(value, Mapping):
        match {key: each for key, each in value.items() if each is not None}:
            case {"shortest_edge": int(edge), **rest} if not rest:
                return edge
            case {"height": int(height), "width": int(width), **rest} if not rest:
                return height, width
    raise ValueError(f"{name} {value!r} is not supported: it is height and width, or shortest_edge")


def _axes(size: tuple[int, int] | int) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


_Triple = tuple[float, float, float]


def normalisation(options: Mapping[str, Any]) -> tuple[_Triple, _Triple]:
    """(scale, bias) of (value * rescale_factor - mean) / std, per channel."""
    factor = float(options["rescale_factor"]) if options["do_rescale"] else 1.0
    mean = _triple("image_mean", options["image_mean"]) if options["do_normalize"] else (0.0, 0.0, 0.0)
    std = _triple("image_std", options["image_std"]) if options["do_normalize"] else (1.0, 1.0, 1.0)
    if not all(std):
        raise ValueError("image_std has a zero")
    bias = (-mean[0] / std[0], -mean[1] / std[1], -mean[2] / std[2])
    return (factor / std[0], factor / std[1], factor / std[2]), bias


def _triple(name: str, value: Any) -> _Triple:
    values = [float(each) for each in value] if isinstance(value, list | tuple) else [float(value)] * 3
    if len(values) != 3:
        raise ValueError(f"{name} has {len(values)} numbers, not 3")
    return values[0], values[1], values[2]
