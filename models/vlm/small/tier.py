"""The small VLM as a member of the cascade: one to six views of a scene in one prompt, one word read off."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from models import calibration
from models.calibration import Calibration
from models.checkpoint import CheckpointError
from models.classifier import resolve_device
from models.compress import plan
from models.core import Evidence
from models.native import mobilenet
from models.preprocess import Preprocess
from models.preprocess import read as read_preprocess
from models.vlm.small.network import Shape, SmallNetwork, pooled
from models.vlm.small.words import NO, TOKENS, YES, decode
from models.weights import DEFAULT, SMALL_VLM

if TYPE_CHECKING:
    from models.vlm.small.compressed import Compressed, Read

NAME = "small_vlm"
CONFIG, WEIGHTS, CALIBRATION = "config.json", "model.safetensors", "calibration.json"
Pixels = NDArray[np.float32]


class SmallVLM:
    """A `Tier` whose items are scenes: tuples of one to six prepared views."""

    name = NAME
    joint = True

    def __init__(
        self,
        backbone: nn.Module,
        network: SmallNetwork,
        prepare: Preprocess,
        applied: Calibration,
        version: str,
        device: str,
        steps: Sequence[str] = (),
    ) -> None:
        self.version = version
        self.device = device
        self.calibration = applied
        self._backbone, self._network, self._prepare = backbone, network, prepare
        self._compressed = compress(network, steps) if steps else None

    @property
    def network(self) -> SmallNetwork:
        """What reads and answers, `complete`; for measuring and training, not for serving."""
        return self._network.complete()

    @property
    def side(self) -> int | None:
        """Pixels of the shorter side that suffice."""
        return self._prepare.side

    def prepare(self, image: Any) -> Pixels:
        return self._prepare(image if self._compressed is None else self._compressed.applied.shrink(image))

    def evidence(self, batch: Sequence[Sequence[Pixels]]) -> list[Evidence]:
        """A scene's calibrated log-odds of "yes" against "no" as the first word, and the two words' mass."""
        start = time.perf_counter()
        logits, took = self._read(batch)
        ms = (time.perf_counter() - start) * 1e3 / max(1, len(batch))
        log_odds = (logits[:, TOKENS[YES]] - logits[:, TOKENS[NO]]).tolist()
        masses = logits.softmax(-1)[:, [TOKENS[YES], TOKENS[NO]]].sum(-1).tolist()
        return [
            Evidence(self.name, self.version, self.calibration.apply(odds), ms, {"label_mass": mass, **more})
            for odds, mass, more in zip(log_odds, masses, took, strict=True)
        ]

    def logits(self, batch: Sequence[Sequence[Pixels]]) -> Tensor:
        """(scenes, words) float64: uncalibrated, of the answer's first word."""
        return self._read(batch)[0]

    @torch.inference_mode()
    def _read(self, batch: Sequence[Sequence[Pixels]]) -> tuple[Tensor, list[dict[str, float]]]:
        """The logits, and where there is compression what reading each scene took."""
        maps, present = self._see(batch)
        if self._compressed is not None:
            read = self._compressed.read(maps, present)
            return torch.stack([one.logits for one in read]).double().cpu(), [_took(one) for one in read]
        empty = torch.zeros(len(batch), 0, dtype=torch.long, device=self.device)
        logits: Tensor = self._network(maps, present, empty)[:, 0].double().cpu()
        return logits, [{} for _ in batch]

    def reason(self, batch: Sequence[Sequence[Pixels]]) -> list[str]:
        """What it says when it may go on: "yes: cones and signs on the left". Greedy."""
        speaks = self._network if self._compressed is None else self._compressed
        return [decode(tokens) for tokens in speaks.speak(*self._see(batch))]

    @torch.inference_mode()
    def _see(self, batch: Sequence[Sequence[Pixels]]) -> tuple[Tensor, Tensor]:
        """Pooled maps (scenes, most views, features, grid, grid), and which of them are there."""
        views = np.stack([view for scene in batch for view in scene])
        pixels = torch.from_numpy(views).to(self.device).contiguous(memory_format=torch.channels_last)
        found = pooled(self._backbone(pixel_values=pixels).last_hidden_state, self._network.shape.grid)
        most = max(map(len, batch))
        maps = found.new_zeros(len(batch), most, *found.shape[1:])
        present = torch.zeros(len(batch), most, dtype=torch.bool, device=self.device)
        at = 0
        for row, count in enumerate(map(len, batch)):
            maps[row, :count], present[row, :count] = found[at : at + count], True
            at += count
        return maps, present


def load(
    path: str | Path | None, backbone: str | Path | None, device: str, steps: Sequence[str] = ()
) -> SmallVLM:
    """See `models.vlm.small.load_small_vlm`."""
    folder, eyes = Path(path or SMALL_VLM), Path(backbone or DEFAULT)
    for file in (folder / CONFIG, folder / WEIGHTS, eyes / CONFIG, eyes / WEIGHTS):
        if not file.is_file():
            raise CheckpointError(f"{file.parent} has no {file.name}")
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if config["backbone_sha256"] != digest(eyes / WEIGHTS):
        raise CheckpointError(f"{folder} was trained on another backbone than {eyes}: train it anew")
    target = resolve_device(device)
    network = SmallNetwork(Shape(**config["shape"]), native=not steps)
    weights = {name: tensor.float() for name, tensor in load_file(folder / WEIGHTS).items()}
    weights["decoder.lm_head.weight"] = weights["decoder.model.embed_tokens.weight"]
    network.load_state_dict(weights)
    applied = calibration.read(folder / CALIBRATION)
    return assemble(eyes, network, applied, version(folder, eyes, steps), target, steps)


def assemble(
    eyes: Path,
    network: SmallNetwork,
    applied: Calibration,
    version: str,
    device: str,
    steps: Sequence[str] = (),
) -> SmallVLM:
    """The tier of a network that is at hand, on the backbone in the folder `eyes`.

    Raises ValueError for `steps` (lines of `models.compress`) that do not fit it."""
    seeing = open_backbone(eyes).to(device)
    prepare = read_preprocess(eyes / "preprocessor_config.json")
    thinking: Any = network.to(device).train(False).requires_grad_(False)
    return SmallVLM(seeing, thinking, prepare, applied, version, device, steps)


def compress(network: SmallNetwork, steps: Sequence[str]) -> Compressed:
    from models.compress.applied import Applied
    from models.vlm.small.compressed import Compressed, offer

    return Compressed(network, Applied(plan(steps, offer(network)), network.shape.layers))


def _took(read: Read) -> dict[str, float]:
    return {
        "visual_tokens": float(read.visual),
        "kept_tokens": float(read.kept),
        "kv_bytes": float(read.kv_bytes),
    }


def open_backbone(folder: Path) -> nn.Module:
    """The classifier's convolutional part, in evaluation mode."""
    own = mobilenet.read(folder)
    model: nn.Module = mobilenet.load(folder, own).mobilenet_v2 if own else _transformers(folder)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub
    return model.train(False).requires_grad_(False)


def _transformers(folder: Path) -> nn.Module:
    from transformers import AutoModel

    model: nn.Module = AutoModel.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, add_pooling_layer=False
    )
    return model


def version(folder: Path, eyes: Path, steps: Sequence[str] = ()) -> str:
    """Twelve hexadecimal digits over both weights, the calibration and the steps."""
    said = digest(folder / WEIGHTS) + digest(eyes / WEIGHTS)
    said += (folder / CALIBRATION).read_text(encoding="utf-8") + ", ".join(steps)
    return sha256(said.encode()).hexdigest()[:12]


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
