"""Load a detector from a folder or a pinned hub id: safetensors only, and no code from the checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError
from torch import nn

from models.checkpoint import CONFIG, PREPROCESSOR, CheckpointError, locate
from models.classifier import resolve_device
from models.detector import framing, yolo
from models.detector.classes import watch
from models.detector.network import OPEN, closed, open_vocabulary, run
from models.detector.seen import WEIGHING, Weighing, feature_names, read_weighing, slug
from models.detector.tier import NAME, Detector

PROMPTS = (
    "traffic cone",
    "traffic drum",
    "road barricade",
    "road work sign",
    "arrow board",
    "excavator",
    "construction worker",
    "construction truck",
)
"""What an open-vocabulary detector looks for unless told otherwise."""


def load_detector(
    path: str | Path | None,
    *,
    revision: str | None = None,
    labels: Sequence[str] | None = None,
    prompts: Sequence[str] = PROMPTS,
    least: float = 0.3,
    undecided: float = 0.5,
    name: str = NAME,
    device: str = "cpu",
) -> Detector:
    """Load a detector and prove that it can judge an image.

    `path` a folder, a hub id with its commit as `revision`, or an ONNX file of ultralytics. `labels` the
    classes of a closed set whose evidence counts (all that look like works by default); `prompts` what an
    open-vocabulary detector is asked for; `least` score of a box that counts; `undecided` score that says
    nothing either way as long as there is no `detector.json` (see `models.detector.seen`). Raises
    CheckpointError.
    """
    if path is None:
        raise CheckpointError("a detector needs the path of a checkpoint: none is built in")
    if not 0 < least < 1:
        raise CheckpointError(f"least must lie between 0 and 1, not {least}")
    target = resolve_device(device)
    if yolo.is_ours(path):
        return yolo.load(Path(path), labels, least, undecided, name, target)
    folder = locate(path, revision)
    config = _config(folder)
    open_set = config.model_type in OPEN
    known = list(prompts) if open_set else [str(config.id2label[index]) for index in sorted(config.id2label)]
    watched = known if open_set else watch(known, labels)
    try:
        frame = framing.read(folder / PREPROCESSOR)
        weighing = read_weighing(folder / WEIGHING, feature_names(_distinct(watched)), undecided)
    except (ValueError, OSError) as error:
        raise CheckpointError(str(error)) from error
    model = _model(folder, config, open_set).to(torch.device(target))
    forward = open_vocabulary(model, config, folder, known) if open_set else closed(model, config)
    tier = Detector(
        run(forward, [known.index(label) for label in watched], target),
        frame, watched, weighing, version=_version(folder, weighing, watched, least),
        side=frame.side, least=least, name=name, device=target,
    )  # fmt: skip
    _rehearse(tier, folder)
    return tier


def _distinct(watched: Sequence[str]) -> Sequence[str]:
    """Raises ValueError unless every class has a feature name of its own."""
    names = [slug(label) for label in watched]
    if not names or not all(names) or len(set(names)) < len(names):
        raise ValueError(f"classes or prompts need names that differ in letters and digits: {list(watched)}")
    return watched


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    for wanted in (CONFIG, PREPROCESSOR):
        if not (folder / wanted).is_file():
            raise CheckpointError(f"{folder} has no {wanted}")
    if not list(folder.glob("*.safetensors")):
        raise CheckpointError(
            f"{folder} has no *.safetensors; other weight formats can run code and are not read"
        )
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (ValueError, OSError, KeyError) as error:
        raise CheckpointError(f"{folder / CONFIG} is not a transformers configuration: {error}") from error


def _model(folder: Path, config: Any, open_set: bool) -> nn.Module:
    """Weights in place, in evaluation mode; missing weights are an error."""
    from transformers import AutoModelForObjectDetection, AutoModelForZeroShotObjectDetection
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call] # what this process writes goes to a log
    kind: Any = AutoModelForZeroShotObjectDetection if open_set else AutoModelForObjectDetection
    try:
        model, report = kind.from_pretrained(
            folder, config=config, use_safetensors=True, local_files_only=True, dtype=torch.float32,
            trust_remote_code=False, output_loading_info=True,
        )  # fmt: skip
    except ImportError as error:
        raise CheckpointError(f"{folder}: this architecture needs a package more: {error}") from error
    except (ValueError, OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{folder} does not load as an object detector: {error}") from error
    if missing := sorted(report["missing_keys"]):
        raise CheckpointError(f"{folder} lacks weights its configuration asks for: {', '.join(missing[:5])}")
    network: nn.Module = model.eval().requires_grad_(False)
    return network


def _version(folder: Path, weighing: Weighing, watched: Sequence[str], least: float) -> str:
    """Twelve hexadecimal digits over the files and every option that changes an answer."""
    digest = sha256(repr((sorted(weighing.weights.items()), weighing.intercept, weighing.undecided)).encode())
    digest.update(repr((tuple(watched), least)).encode())
    for path in (folder / CONFIG, folder / PREPROCESSOR, *sorted(folder.glob("*.safetensors"))):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()[:12]


def _rehearse(tier: Detector, folder: Path) -> None:
    """Judge one image: what does not fit comes to light here, not in a challenge."""
    try:
        tier.evidence([tier.prepare(Image.new("RGB", (64, 48), (128, 128, 128)))])
    except (ValueError, RuntimeError, IndexError, ArithmeticError) as error:
        raise CheckpointError(f"{folder} cannot judge an image its own preprocessor made: {error}") from error
