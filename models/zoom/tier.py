"""The closer look as a member of the cascade: guided by the boxes of those before it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models import weights
from models.calibration import Calibration
from models.checkpoint import CheckpointError
from models.classifier import Classifier, load_classifier
from models.core import Box, Evidence
from models.zoom.refine import Effort, refine
from models.zoom.reward import Reward
from models.zoom.windows import SHARE, Window, cut

NAME, SETTINGS = "zoom", "zoom.json"


@dataclass(frozen=True)
class Settings:
    """What `zoom.json` holds."""

    reward: Reward
    effort: Effort
    calibration: Calibration

    def to_json(self) -> dict[str, Any]:
        return {
            "reward": self.reward.to_json(),
            "effort": asdict(self.effort),
            "calibration": asdict(self.calibration),
        }


@dataclass(frozen=True)
class Item:
    """One view, and what others saw in it."""

    image: Image.Image
    boxes: tuple[Box, ...] = ()


class Zoom:
    """A `models.core.Tier`, guided: `prepare` takes the view's boxes. `side` is that of the smallest part."""

    guided = True

    def __init__(self, classifier: Classifier, settings: Settings) -> None:
        text = json.dumps(settings.to_json(), sort_keys=True) + classifier.version
        self.name, self.version = NAME, sha256(text.encode()).hexdigest()[:12]
        self.side = round(classifier.side / SHARE**settings.effort.depth)
        self.device, self.calibration, self.settings = classifier.device, settings.calibration, settings
        self._classifier = classifier

    def prepare(self, image: Image.Image, boxes: Sequence[Box] = ()) -> Item:
        """PIL RGB image and the boxes that others saw in it. Thread-safe."""
        return Item(image, tuple(boxes))

    def evidence(self, batch: Sequence[Item]) -> list[Evidence]:
        """Look at each; features: `looks`, how many there were, and `chance`, how far the best is trusted.
        Raises ArithmeticError when a logit is not finite."""
        return [self._look(item) for item in batch]

    def _look(self, item: Item) -> Evidence:
        started = time.perf_counter()
        reward = self.settings.reward
        looks = refine(partial(self._see, item.image), reward, self.settings.effort, item.boxes)
        said = self.calibration.apply(reward.log_odds(looks))
        noticed = {"looks": float(len(looks)), "chance": reward.best(looks)[1]}
        return Evidence(self.name, self.version, said, (time.perf_counter() - started) * 1e3, noticed)

    def _see(self, image: Image.Image, windows: Sequence[Window]) -> list[float]:
        inputs = [self._classifier.prepare(cut(image, window)) for window in windows]
        odds = self._classifier.head.log_odds(self._classifier.logits(inputs)).numpy()
        if not np.isfinite(odds).all():
            raise ArithmeticError("the model's logits are not finite for a part of the view")
        found: list[float] = odds.tolist()
        return found


def load_zoom(
    path: str | Path | None = None, *, classifier: str | Path | None = None, device: str = "cpu"
) -> Zoom:
    """`path` the folder of `zoom.json`, `classifier` that of the classifier (both ours by default). Raises
    CheckpointError."""
    settings = read_settings(Path(path or weights.ZOOM))
    return Zoom(load_classifier(Path(classifier or weights.DEFAULT), device=device), settings)


def read_settings(folder: Path) -> Settings:
    """From `zoom.json`. Raises CheckpointError."""
    try:
        found = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        return Settings(
            Reward.from_json(found["reward"]), Effort(**found["effort"]), Calibration(**found["calibration"])
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / SETTINGS} does not describe a closer look: {error!r}") from error
