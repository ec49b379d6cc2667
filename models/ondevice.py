"""A picture resized, cropped and normalised on the GPU by one kernel, instead of by Pillow in a decoding
thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from models import kernels
from models.preprocess import Preprocess

Bytes = NDArray[np.uint8]
FILTERS: dict[int, Literal["bilinear", "bicubic"]] = {
    Image.Resampling.BILINEAR: "bilinear",
    Image.Resampling.BICUBIC: "bicubic",
}


class OnDevice:
    """What `prepare` does, there. Pixels differ by rounding: Pillow rounds to bytes after each pass. Raises
    ValueError with a sentence where kernels cannot run, or there is none for the filter."""

    def __init__(self, prepare: Preprocess, device: str) -> None:
        if reason := kernels.missing(torch.device(device).type):
            raise ValueError(f"pictures cannot be resized on the device: {reason}")
        if prepare.resample not in FILTERS:
            raise ValueError(f"there is no kernel for Pillow's filter {prepare.resample}")
        self._prepare, self._device = prepare, device

    def hold(self, image: Image.Image) -> Bytes:
        """RGB image -> its bytes (height, width, 3). Thread-safe."""
        return np.asarray(image)

    def __call__(self, batch: Sequence[Bytes]) -> torch.Tensor:
        """float32 (batch, 3, height, width) on the device, of pictures of any sizes."""
        from models.kernels.resize import resize

        how = self._prepare
        shown = [
            resize(
                torch.from_numpy(picture.copy())[None].to(self._device),
                how.crop,
                how.scale,
                how.bias,
                FILTERS[how.resample],
                window=how.window((picture.shape[1], picture.shape[0])),
            )
            for picture in batch
        ]
        return torch.cat(shown)
