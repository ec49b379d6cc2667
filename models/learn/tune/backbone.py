"""A checkpoint to start from, opened for the labels None and Roadwork."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from torch import nn

from models import timm_checkpoint
from models.checkpoint import CONFIG, PREPROCESSOR, CheckpointError, locate
from models.embedding import NoHead, find_head
from models.learn.judge import Judge
from models.learn.metrics import Floats
from models.learn.network import LABELS
from models.preprocess import Preprocess
from models.preprocess import read as read_preprocess
from models.weights import DEFAULT

EMBEDDED = "embedded"
"""Names the embedded default as the backbone."""
Open = Callable[[], "Backbone"]
"""Opens the same backbone anew, head and all."""


@dataclass(frozen=True)
class Backbone:
    """`module` takes `pixel_values` and gives `logits` (batch, 2); `head` names its last linear layer.

    `prepare`  how it is shown an image: both axes scaled apart to `side` px, as training views are.
    `timm`     whether its configuration is timm's.
    """

    module: nn.Module
    head: str
    prepare: Preprocess
    timm: bool = False

    @property
    def side(self) -> int:
        return self.prepare.crop[0]

    @property
    def width(self) -> int:
        """Features before the head."""
        return int(self.layer.in_features)

    @property
    def layer(self) -> nn.Linear:
        layer = self.module.get_submodule(self.head)
        assert isinstance(layer, nn.Linear)
        return layer

    def normal(self, views: torch.Tensor) -> torch.Tensor:
        """Training views in [-1, 1] as this checkpoint wants them."""
        shape = (1, 3, 1, 1)
        scale, bias = (
            torch.tensor(each).view(shape).to(views) for each in (self.prepare.scale, self.prepare.bias)
        )
        return (views + 1) * 127.5 * scale + bias

    def with_module(self, module: nn.Module) -> Backbone:
        return Backbone(module, self.head, self.prepare, self.timm)


def open_backbone(path: str | Path, revision: str | None, seed: int) -> Backbone:
    """`path` a folder, a hub id with its commit as `revision`, or `EMBEDDED`. The head is drawn anew from
    `seed` unless the checkpoint has these two labels. Dropout right before the head is off: distillation
    compares what stands there. Raises CheckpointError."""
    folder = locate(DEFAULT if path == EMBEDDED else path, revision)
    told = timm_checkpoint.read_config(folder)
    try:
        if told:
            timm_checkpoint.require()
        prepare = timm_checkpoint.preprocess(told) if told else read_preprocess(folder / PREPROCESSOR)
    except (ValueError, OSError) as error:
        raise CheckpointError(str(error)) from error
    module = _load(folder, seed)
    try:
        head, _ = find_head(module, len(LABELS))
    except NoHead as error:
        raise CheckpointError(f"{folder}: {error}") from error
    for child in module.children():
        if isinstance(child, nn.Dropout):
            child.p = 0.0
    return Backbone(module, head, _squashed(prepare), told is not None)


def _load(folder: Path, seed: int) -> nn.Module:
    from transformers import AutoConfig, AutoModelForImageClassification
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call] # what this process writes goes to a log
    names: dict[str, Any] = {"id2label": LABELS, "label2id": {name: index for index, name in LABELS.items()}}
    torch.manual_seed(seed)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        known = {str(name).casefold() for name in (config.id2label or {}).values()}
        module: nn.Module = AutoModelForImageClassification.from_pretrained(
            folder, problem_type="single_label_classification", ignore_mismatched_sizes=True,
            use_safetensors=True, local_files_only=True, dtype=torch.float32, trust_remote_code=False,
            **names,
        )  # fmt: skip
    except (ValueError, OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{folder / CONFIG} does not open as an image classifier: {error}") from error
    if known != {name.casefold() for name in LABELS.values()}:
        _fresh(module, seed)
    return module


def _fresh(module: nn.Module, seed: int) -> None:
    try:
        _, layer = find_head(module, len(LABELS))
    except NoHead as error:
        raise CheckpointError(str(error)) from error
    torch.manual_seed(seed)
    nn.init.normal_(layer.weight, std=0.01)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _squashed(prepare: Preprocess) -> Preprocess:
    """The same normalisation on the whole image: training views show it whole."""
    return Preprocess(prepare.crop, prepare.crop, prepare.resample, prepare.scale, prepare.bias)


def judge_of(backbone: Backbone) -> Judge:
    """Raw log-odds of the module as it stands, over its own preprocessing, on its own device."""
    device = next(backbone.module.parameters()).device

    def judge(images: Sequence[Image.Image]) -> Floats:
        pixels = torch.from_numpy(np.stack([backbone.prepare(image) for image in images])).to(device)
        with torch.inference_mode():
            logits = backbone.module(pixel_values=pixels).logits.double().cpu()
        scores: Floats = (logits[:, 1] - logits[:, 0]).numpy()
        return scores

    return judge
