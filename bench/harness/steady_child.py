"""An engine child with one more tier, "steady": as long for every image (`ms`), and for every batch
(`base_ms`), and no load on the CPU meanwhile.

A stand-in for a model on a GPU: what is left is what everything around the model costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from miner.engine import child_main, tiers
from models.core import Evidence, Tier


class Steady:
    """`ms` of an image, `base_ms` of a batch besides; the version is told."""

    name = "steady"
    side = 224

    def __init__(self, ms: float, version: str, base_ms: float = 0.0) -> None:
        self.version = version
        self._s, self._base_s = ms / 1e3, base_ms / 1e3

    def prepare(self, image: Any) -> float:
        """Mean brightness, for a log-odds that differs from image to image."""
        return float(image.convert("L").resize((1, 1)).getpixel((0, 0)))

    def evidence(self, batch: Sequence[float]) -> list[Evidence]:
        time.sleep(self._base_s + self._s * len(batch))
        return [Evidence(self.name, self.version, value / 64 - 2) for value in batch]


def steady(spec: tiers.Spec, device: str) -> Tier:
    return Steady(spec.get("ms", 40.0), str(spec.get("label", "0")), spec.get("base_ms", 0.0))


if __name__ == "__main__":
    tiers.FACTORIES["steady"] = steady
    child_main.main()
