"""A torch classifier as an ONNX file with two outputs: logits, and what stands before the head."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.embedding import NoHead, find_head

PIXELS, LOGITS, FEATURES = "pixels", "logits", "features"
OPSET = 17


class Telling(nn.Module):
    """pixels (batch, 3, height, width) -> logits (batch, labels), and features (batch, width) if there is a
    linear head: the same that `models.embedding.Embedder` hears."""

    def __init__(self, model: nn.Module, labels: int) -> None:
        super().__init__()
        self.model = model
        try:
            _, head = find_head(model, labels)
        except NoHead:
            self._hook = None
        else:
            self._hook = head.register_forward_pre_hook(self._listen)
        self._heard: torch.Tensor | None = None

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        logits: torch.Tensor = self.model(pixel_values=pixels).logits
        heard, self._heard = self._heard, None
        return (logits,) if heard is None else (logits, heard if heard.ndim == 2 else heard.mean(dim=1))

    def _listen(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._heard = inputs[0]

    @property
    def hears(self) -> bool:
        """Whether there are features."""
        return self._hook is not None

    def close(self) -> None:
        """Leave the model as it was."""
        if self._hook is not None:
            self._hook.remove()


def export(model: nn.Module, labels: int, shape: tuple[int, int], path: Path) -> None:
    """Write `model`, which is on the CPU and in evaluation mode, for batches of any size of images of `shape`
    (height, width). The file appears whole or not at all. Raises RuntimeError, ImportError or OSError when
    that cannot be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    telling = Telling(model, labels).eval()  # the exporter puts every part back into the mode of the whole
    outputs = [LOGITS, FEATURES] if telling.hears else [LOGITS]
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # that the tracer is old, and that sizes become constants: they are
            torch.onnx.export(
                telling,
                (torch.zeros(2, 3, *shape),),
                str(part),
                dynamo=False,
                opset_version=OPSET,
                input_names=[PIXELS],
                output_names=outputs,
                dynamic_axes={name: {0: "batch"} for name in (PIXELS, *outputs)},
            )
        part.replace(path)
    finally:
        telling.close()
        part.unlink(missing_ok=True)
