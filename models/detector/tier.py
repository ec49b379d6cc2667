"""A detector as a tier, whatever network is behind it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from models.core import Evidence
from models.detector.framing import Framed
from models.detector.seen import Seen, Weighing, features, find_boxes

NAME = "detector"
Network = Callable[[Sequence[Framed]], list[Seen]]
"""Framed images of one shape -> what it saw in each, boxes relative to the framed pixels."""


class Detector:
    """A `models.core.Tier`. `labels` the watched classes; `side` the shorter side down to which decoding may
    scale; `least` the score from which a box counts."""

    def __init__(
        self,
        network: Network,
        frame: Callable[[Image.Image], Framed],
        labels: Sequence[str],
        weighing: Weighing,
        *,
        version: str,
        side: int,
        least: float = 0.3,
        name: str = NAME,
        device: str = "cpu",
    ) -> None:
        self.name, self.version, self.side, self.device = name, version, side, device
        self.labels, self.least = tuple(labels), least
        self._network, self._frame, self._weighing = network, frame, weighing

    def prepare(self, image: Image.Image) -> Framed:
        """PIL RGB image -> the network's input. Thread-safe."""
        return self._frame(image)

    def evidence(self, batch: Sequence[Framed]) -> list[Evidence]:
        """Judge framed images, those of one shape together. Raises ArithmeticError when something the network
        says is not finite."""
        started = time.perf_counter()
        seen = self.see(batch)
        found = [find_boxes(each, self.labels, self.least) for each in seen]
        told = [features(each, self.labels, boxes) for each, boxes in zip(seen, found, strict=True)]
        cost = (time.perf_counter() - started) * 1e3 / max(len(batch), 1)
        return [
            Evidence(self.name, self.version, self._weighing.log_odds(more), cost, more, tuple(boxes))
            for more, boxes in zip(told, found, strict=True)
        ]

    def see(self, batch: Sequence[Framed]) -> list[Seen]:
        """Scores and boxes relative to the views, before anything is left out."""
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, each in enumerate(batch):
            groups[each.pixels.shape].append(index)
        seen: dict[int, Seen] = {}
        for members in groups.values():
            answers = self._network([batch[index] for index in members])
            for index, said in zip(members, answers, strict=True):
                if not (np.isfinite(said.scores).all() and np.isfinite(said.edges).all()):
                    raise ArithmeticError(f"the detector's answer for item {index} is not finite")
                framed = batch[index]
                scale = np.array([framed.across, framed.down, framed.across, framed.down])
                seen[index] = Seen(said.scores, said.edges * scale)
        return [seen[index] for index in range(len(batch))]
