"""The features right before a classifier's last linear layer: what a memory and a new head work on."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import torch
from torch import nn


class NoHead(ValueError):
    """The model has no linear layer that gives its labels' logits; the message is for the operator."""


def find_head(model: nn.Module, labels: int) -> tuple[str, nn.Linear]:
    """The last linear layer with one output per label, and its name in the model. Raises NoHead."""
    found = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == labels
    ]
    if not found:
        raise NoHead(f"the model has no linear layer with {labels} outputs before its answer")
    return found[-1]


class Embedder:
    """Listens at the input of a model's head while it judges. `space` is the same for two models whose
    embeddings may be compared: twelve hexadecimal digits over everything but the head, and `preprocessing`,
    a text about how images are shown to it. Raises NoHead."""

    def __init__(self, model: nn.Module, labels: int, preprocessing: str = "") -> None:
        self.name, self.head = find_head(model, labels)
        self.space = _space(model, self.name, preprocessing)
        self.width = self.head.in_features
        self._heard: torch.Tensor | None = None
        self._hook = self.head.register_forward_pre_hook(self._listen)

    def take(self) -> torch.Tensor:
        """(batch, width) float32 on the CPU, of the last forward pass. Raises RuntimeError without one."""
        if self._heard is None:
            raise RuntimeError("the model has judged nothing since the last time")
        heard, self._heard = self._heard, None
        return heard.detach().float().cpu()

    def hear(self, features: torch.Tensor) -> None:
        """(batch, width) of a pass that another runtime made."""
        self._heard = features

    def close(self) -> None:
        """Stop listening."""
        self._hook.remove()

    def _listen(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        features: torch.Tensor = inputs[0]
        self._heard = features if features.ndim == 2 else features.mean(dim=1)


def _space(model: nn.Module, head: str, preprocessing: str) -> str:
    digest = sha256(preprocessing.encode())
    for name, tensor in sorted(model.state_dict().items()):
        if not name.startswith(f"{head}."):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
