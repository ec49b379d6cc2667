"""A checkpoint's folder as transformers or timm leave it: where it is, what its parts say, its network.

Any architecture transformers knows, from a folder or from the hub at a pinned commit; safetensors only, and
never code from the checkpoint. The positive class is found by its label's name: positions differ between
models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from models import calibration, timm_checkpoint
from models.calibration import Calibration
from models.native import mobilenet
from models.preprocess import Preprocess
from models.preprocess import read as read_preprocess
from models.testviews import WHOLE

CONFIG, PREPROCESSOR, CALIBRATION = "config.json", "preprocessor_config.json", "calibration.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")


class CheckpointError(ValueError):
    """The checkpoint cannot serve; the message is a sentence for the operator."""


@dataclass(frozen=True)
class Head:
    """How logits become a log-odds.

    `labels` by class index; `positive` the index of the positive class; `kind`:
    "softmax" (classes exclude each other: log-odds = logit - logsumexp of all others) or
    "sigmoid" (one logit, or several independent ones: the logit is the log-odds).
    """

    labels: tuple[str, ...]
    positive: int
    kind: str

    def log_odds(self, logits: torch.Tensor) -> torch.Tensor:
        """(batch, classes) float64 logits -> (batch,) log P(positive) - log P(not positive)."""
        own = logits[:, self.positive]
        if self.kind == "sigmoid":
            return own
        rest = [index for index in range(len(self.labels)) if index != self.positive]
        return own - torch.logsumexp(logits[:, rest], dim=1)


def locate(path: str | Path, revision: str | None) -> Path:
    """The checkpoint's folder, fetched from the hub at `revision` when `path` is a hub id."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)) or str(path).startswith("."):
        raise CheckpointError(f"{path}: no such folder, and not a hub id either")
    if revision is None or not _COMMIT.fullmatch(revision):
        raise CheckpointError(
            f"{path} is no folder here; to take it from the hub, pin it by its commit (revision: 40 "
            f"hexadecimal digits, not {revision!r}): what a branch points at may change under a running miner"
        )
    return _fetch(str(path), revision)


def _fetch(hub_id: str, revision: str) -> Path:
    """From the cache where possible: a miner must come up again without the hub."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = [CONFIG, PREPROCESSOR, CALIBRATION, "*.safetensors", "*.safetensors.index.json", "detector.json"]
    wanted += ["tokenizer*", "vocab.*", "merges.txt", "special_tokens_map.json"]
    try:
        try:
            return Path(snapshot_download(hub_id, revision=revision, local_files_only=True))
        except LocalEntryNotFoundError:
            return Path(snapshot_download(hub_id, revision=revision, allow_patterns=wanted))
    except (HfHubHTTPError, OSError) as error:
        raise CheckpointError(f"{hub_id} at {revision} cannot be fetched from the hub: {error}") from error


def find_head(labels: Mapping[int, str], label: str, problem_type: str | None = None) -> Head:
    """The head whose positive class is called `label`, in any case; the error lists the labels there are."""
    names = tuple(str(labels[index]) for index in sorted(labels))
    matches = [index for index, name in enumerate(names) if name.casefold() == label.casefold()]
    if len(matches) != 1:
        count = "no" if not matches else "more than one"
        raise CheckpointError(
            f"{count} class is called {label!r}; the checkpoint's labels are: {_shown(names)}"
        )
    independent = len(names) == 1 or problem_type == "multi_label_classification"
    return Head(names, matches[0], "sigmoid" if independent else "softmax")


def _shown(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def fingerprint(folder: Path, applied: Calibration, head: Head, views: tuple[str, ...] = WHOLE) -> str:
    """Twelve hexadecimal digits over weights, configuration, preprocessing, calibration, positive class and
    test-time views."""
    digest = sha256(f"{applied.temperature!r} {applied.threshold!r} {head.positive}".encode())
    if views != WHOLE:
        digest.update(" ".join(views).encode())
    for path in filter(Path.is_file, (folder / CONFIG, folder / PREPROCESSOR, *_weights(folder))):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()[:12]


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def configuration(folder: Path) -> Any:
    """What `config.json` says, of a folder that has all it takes. Raises CheckpointError."""
    timm = timm_checkpoint.read_config(folder)
    for name in (CONFIG,) if timm else (CONFIG, PREPROCESSOR):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} has no {name}")
    if not _weights(folder):
        raise CheckpointError(
            f"{folder} has no *.safetensors; other weight formats can run code and are not read"
        )
    if (own := mobilenet.read(folder)) is not None:
        return own
    from transformers import AutoConfig

    try:
        if timm:
            timm_checkpoint.require()
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (ValueError, OSError, KeyError) as error:
        raise CheckpointError(f"{folder / CONFIG} is not a transformers configuration: {error}") from error


def preprocessing(folder: Path) -> Preprocess:
    """timm tells it in `config.json`, transformers in a file of its own. Raises ValueError."""
    timm = timm_checkpoint.read_config(folder)
    return timm_checkpoint.preprocess(timm) if timm else read_preprocess(folder / PREPROCESSOR)


def calibrated(folder: Path, temperature: float | None, threshold: float | None) -> Calibration:
    """What is given, the rest from the file beside the weights. Raises ValueError."""
    found = calibration.read(folder / CALIBRATION)
    return Calibration(
        found.temperature if temperature is None else temperature,
        found.threshold if threshold is None else threshold,
    )


def network(folder: Path, config: Any) -> torch.nn.Module:
    """Weights in place, in evaluation mode; the report of missing weights is an error, not a warning. Raises
    CheckpointError."""
    if isinstance(config, mobilenet.Config):
        try:
            return mobilenet.load(folder, config)
        except (OSError, KeyError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(f"{folder} does not load as an image classifier: {error}") from error
    from transformers import AutoModelForImageClassification
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call] # what this process writes goes to a log
    try:
        model, report = AutoModelForImageClassification.from_pretrained(
            folder, config=config, use_safetensors=True, local_files_only=True, dtype=torch.float32,
            trust_remote_code=False, output_loading_info=True,
        )  # fmt: skip
    except (ValueError, OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{folder} does not load as an image classifier: {error}") from error
    if missing := sorted(report["missing_keys"]):
        raise CheckpointError(f"{folder} lacks weights its configuration asks for: {', '.join(missing[:5])}")
    network: torch.nn.Module = model.eval().requires_grad_(False)
    return network


def layout(model: torch.nn.Module) -> torch.memory_format:
    """Channels last for convolutional networks (MobileNetV2, batch 8, CPU: 21 ms an image, not 29);
    a transformer's one patch embedding gains nothing."""
    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in model.modules())
    return torch.channels_last if convolutions > 1 else torch.contiguous_format


def shown_how(folder: Path, views: Sequence[str] = WHOLE) -> str:
    """How images are shown to a checkpoint, for `Embedder`."""
    path = folder / PREPROCESSOR
    return " ".join(views) + (path.read_text(encoding="utf-8") if path.is_file() else "")
