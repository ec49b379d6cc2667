"""YOLOv12, YOLO-World and whatever else ultralytics runs, from an ONNX file; imported only here.

ultralytics is AGPL-3.0 and no dependency of ours: whoever serves with it answers for its licence. Its own
`.pt` files are pickles, which run code when they are opened: export them once, where that does no harm.
YOLO-World's classes are those that were set before the export.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.checkpoint import CheckpointError
from models.detector.classes import watch
from models.detector.framing import Framed
from models.detector.seen import WEIGHING, Seen, feature_names, read_weighing
from models.detector.tier import Detector

SIDE = 640
FAINT = 0.01
"""Score below which ultralytics need not report a box."""


def is_ours(path: str | Path) -> bool:
    """Whether this is a file of ultralytics. Raises CheckpointError for one that would run code."""
    suffix = Path(path).suffix.casefold()
    if suffix in (".pt", ".pth"):
        raise CheckpointError(
            f"{path} is a pickle, which runs code when it is opened; export it elsewhere: "
            f"yolo export model={Path(path).name} format=onnx"
        )
    return suffix == ".onnx"


def load(
    path: Path,
    labels: Sequence[str] | None,
    least: float,
    undecided: float,
    name: str,
    device: str,
) -> Detector:
    """An ONNX export as a tier; `detector.json` may lie beside it. Raises CheckpointError."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    model = _yolo()(str(path), task="detect")
    names: dict[int, str] = model.names
    known = [str(names[index]) for index in sorted(names)]
    watched = watch(known, labels)
    try:
        weighing = read_weighing(path.parent / WEIGHING, feature_names(watched), undecided)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    columns = [known.index(label) for label in watched]

    def network(batch: Sequence[Framed]) -> list[Seen]:
        images = [Image.fromarray(each.pixels.transpose(1, 2, 0).astype(np.uint8)) for each in batch]
        return [
            _seen(model.predict(image, conf=FAINT, device=device, verbose=False)[0], columns)
            for image in images
        ]

    digest = sha256(path.read_bytes() + repr((watched, least, weighing)).encode()).hexdigest()[:12]
    return Detector(
        network, _frame, watched, weighing, version=digest, side=SIDE, least=least, name=name, device=device
    )


def _yolo() -> Any:
    try:
        from ultralytics import YOLO
    except ImportError as error:
        raise CheckpointError(
            "YOLO needs the extra: pip install 'streetvision-miner[yolo]'. ultralytics is AGPL-3.0 (whoever "
            "serves with it owes the source) unless you hold its commercial licence; RF-DETR and D-FINE are "
            "Apache-2.0 and need no extra"
        ) from error
    return YOLO


def _frame(image: Image.Image) -> Framed:
    """The view as it is: ultralytics does its own letterboxing. Values 0 to 255."""
    return Framed(np.ascontiguousarray(np.asarray(image, dtype=np.float32).transpose(2, 0, 1)))


def _seen(result: Any, columns: Sequence[int]) -> Seen:
    """One row per box of a watched class, its score in that class's column."""
    boxes = result.boxes
    classes = np.asarray(boxes.cls.cpu(), dtype=int).reshape(-1)
    chances = np.asarray(boxes.conf.cpu(), dtype=np.float64).reshape(-1)
    edges = np.asarray(boxes.xyxyn.cpu(), dtype=np.float64).reshape(-1, 4)
    scores = np.where(classes[:, None] == np.asarray(columns)[None], chances[:, None], 0.0)
    return Seen(scores, edges)
