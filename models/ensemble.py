"""Networks of one recipe that began from different random heads, as one member: the mean of their log-odds.

They differ by chance alone, and so does much of what each gets wrong; the mean of several errs less
(Lakshminarayanan, Pritzel and Blundell, "Simple and scalable predictive uncertainty estimation using deep
ensembles", arXiv 1612.01474). How far they disagree is told beside it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from models import calibration, weights
from models.calibration import Calibration
from models.checkpoint import CALIBRATION, CheckpointError, shown_how
from models.classifier import Classifier, load_classifier
from models.core import Evidence

NAME = "ensemble"


class Ensemble:
    """A `models.core.Tier` of classifiers that prepare pictures alike. `calibration` is applied to the mean
    of their raw log-odds; the feature `spread` is the largest less the smallest of them."""

    def __init__(
        self, networks: Sequence[Classifier], applied: Calibration, version: str, *, name: str = NAME
    ) -> None:
        self.name, self.version, self.calibration = name, version, applied
        self.networks = tuple(networks)
        self.side = networks[0].side

    def prepare(self, image: Any) -> Any:
        """PIL RGB image -> float32 (3, height, width). Thread-safe."""
        return self.networks[0].prepare(image)

    def evidence(self, batch: Sequence[Any]) -> list[Evidence]:
        """Judge prepared images. Raises ArithmeticError when a logit is not finite."""
        started = time.perf_counter()
        said = np.array([[each.log_odds for each in network.evidence(batch)] for network in self.networks])
        cost = (time.perf_counter() - started) * 1e3 / max(len(batch), 1)
        means, spreads = said.mean(axis=0).tolist(), np.ptp(said, axis=0).tolist()
        return [
            Evidence(self.name, self.version, self.calibration.apply(mean), cost, {"spread": spread})
            for mean, spread in zip(means, spreads, strict=True)
        ]


def load_ensemble(
    path: str | Path | None = None, *, device: str = "cpu", name: str = NAME, **options: Any
) -> Ensemble:
    """`path` a folder of checkpoints, each in a folder of its own, with a `calibration.json` beside them
    (ours by default); `options` (label, backend, ...) as `load_classifier` takes them. Raises
    CheckpointError, also for checkpoints that do not prepare pictures alike."""
    folder = Path(path or weights.ENSEMBLE)
    found = sorted(each for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []
    if len(found) < 2:
        raise CheckpointError(f"{folder} does not hold two checkpoints or more, each in a folder of its own")
    try:
        applied = calibration.read(folder / CALIBRATION)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    networks = [
        load_classifier(each, device=device, temperature=1.0, threshold=0.5, **options) for each in found
    ]
    if len({shown_how(each) for each in found}) > 1:
        raise CheckpointError(f"the checkpoints in {folder} prepare pictures differently")
    told = " ".join([*(network.version for network in networks), repr(applied)])
    return Ensemble(networks, applied, sha256(told.encode()).hexdigest()[:12], name=name)
