"""From a trained backbone to the folder that `models.classifier` serves and the registry takes in."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch

from models.checkpoint import CALIBRATION, CONFIG, PREPROCESSOR
from models.learn.network import write_json
from models.learn.tune import lora
from models.learn.tune.backbone import Backbone
from models.preprocess import Preprocess

RECORD = "training.json"


def save(backbone: Backbone, folder: Path, calibration: dict[str, float], *, half: bool = True) -> None:
    """Write weights (merged; float16 with `half`), configuration, preprocessing and calibration."""
    folder.mkdir(parents=True, exist_ok=True)
    module: Any = copy.deepcopy(backbone.module).cpu()
    lora.merge(module)
    if half:
        module.to(torch.float16)
    module.save_pretrained(folder)
    if backbone.timm:
        _square_timm(folder / CONFIG)
    else:
        write_json(folder / PREPROCESSOR, described(backbone.prepare))
    write_json(folder / CALIBRATION, calibration)


def described(prepare: Preprocess) -> dict[str, Any]:
    """A squashing preprocessor's configuration; reading it back gives `prepare` to rounding."""
    std = [1 / (255 * scale) for scale in prepare.scale]
    mean = [-bias * each for bias, each in zip(prepare.bias, std, strict=True)]
    height, width = prepare.crop
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": height, "width": width},
        "resample": int(prepare.resample),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": mean,
        "image_std": std,
    }


def _square_timm(path: Path) -> None:
    """timm keeps its preprocessing in the configuration: from now on the whole image, squashed."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config["pretrained_cfg"] = {**config.get("pretrained_cfg", {}), "crop_pct": 1.0, "crop_mode": "squash"}
    write_json(path, config)
