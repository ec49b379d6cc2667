"""Labelled pictures as files, for as long as a learning process needs them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from loguru import logger

from miner.capture import Labelled as Picture

ITEMS = "items.json"
_PREFIX = ".learning-"


def mark(pictures: Sequence[Picture]) -> str:
    """The same for the same pictures with the same labels."""
    digest = sha256()
    for one in sorted(pictures, key=lambda one: one.sha256):
        digest.update(f"{one.sha256} {one.roadwork} {one.source}\n".encode())
    return digest.hexdigest()


def lay_out(pictures: Sequence[Picture], folder: Path) -> Path:
    """A private folder inside `folder` with the pictures and their ITEMS, to be removed when they were
    learned from: what is kept encrypted lies open only for that long. A picture that has gone is left out.
    Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    work = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
    try:
        rows = [row for one in pictures if (row := _row(one, work)) is not None]
        (work / ITEMS).write_text(json.dumps(rows), encoding="utf-8")
    except OSError:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return work


def sweep(folder: Path) -> None:
    """Remove what a crash left lying open."""
    for left in folder.glob(f"{_PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)


def _row(picture: Picture, work: Path) -> dict[str, object] | None:
    try:
        data = picture.read()
    except (OSError, ValueError) as error:
        logger.warning("the labelled picture {} cannot be read: {}", picture.sha256[:12], error)
        return None
    name = sha256(picture.sha256.encode()).hexdigest()[:32]
    (work / name).write_bytes(data)
    about = {"key": picture.sha256, "path": name, "roadwork": picture.roadwork}
    weight = {"weight": 0.3} if picture.source == "pseudo" else {}
    return {**about, "source": picture.source, "month": picture.month, **weight}
