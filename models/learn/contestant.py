"""Whom an evaluation asks: a checkpoint, from a folder or from the hub, or a whole cascade."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from models.classifier import load_classifier
from models.core import Tier, Verdict
from models.description import FILE
from models.learn.judge import Judge
from models.learn.metrics import Floats


@dataclass(frozen=True)
class Contestant:
    """`version` a text that changes with its weights and with what decides."""

    judge: Judge
    version: str


def served(tier: Tier) -> Judge:
    """The tier's calibrated log-odds."""

    def judge(images: Sequence[Image.Image]) -> Floats:
        evidence = tier.evidence([tier.prepare(image) for image in images])
        return np.array([each.log_odds for each in evidence])

    return judge


def checkpoint(
    path: str | Path, *, revision: str | None = None, label: str = "Roadwork", device: str = "cpu"
) -> Contestant:
    """A classifier with the calibration beside it. Raises CheckpointError."""
    tier = load_classifier(path, revision=revision, label=label, device=device)
    return Contestant(served(tier), f"{tier.name} {tier.version}")


def cascade(
    folder: Path, device: str = "cpu", note: Callable[[Verdict], None] = lambda verdict: None
) -> Contestant:
    """The cascade in `folder`; `note` sees every verdict. Raises ValueError."""
    from models.learn.cascade.whole import judge_members, open_cascade

    tiers, plan = open_cascade(folder, device)
    digest = sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.json"))))
    members = ", ".join(f"{tier.name} {tier.version}" for tier in tiers)
    version = f"{folder.name} {digest.hexdigest()[:12]}: {members}"
    return Contestant(judge_members(tiers, plan, note), version)


def is_cascade(path: str | Path) -> bool:
    """Whether a cascade lies there, and not a checkpoint."""
    return (Path(path) / FILE).is_file()
