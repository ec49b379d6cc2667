"""The bare model in a process like the engine child's: what it can do when nobody asks over a network.

`python -m harness.bare` reads one JSON line {"model", "images"}, perhaps with "options" of `load_classifier`,
answers {"predictions"}: image name ->
P(roadwork). Then each line {"seconds", "sizes"} is answered with images per second by batch size."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.front import say
from models.calibration import probability
from models.classifier import load_classifier
from models.core import Tier
from models.imaging.decode import decode
from models.imaging.header import Limits

LIMITS = Limits(2**22, 25_000_000)


def rates(tier: Tier, inputs: Sequence[Any], seconds: float, sizes: Sequence[int]) -> dict[int, float]:
    """Images per second of each batch size, each measured for a part of the time."""
    found = {}
    for size in sizes:
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds / len(sizes):
            tier.evidence(inputs[:size])
            done += size
        found[size] = done / (time.perf_counter() - start)
    return found


def main() -> None:
    said = json.loads(sys.stdin.readline())
    tier = load_classifier(said["model"], device="cpu", **said.get("options", {}))
    files = sorted(Path(said["images"]).iterdir())
    inputs = [tier.prepare(decode(file.read_bytes(), LIMITS, side=tier.side).image) for file in files]
    odds = [tier.evidence([each])[0].log_odds for each in inputs]
    say({"predictions": {file.name: probability(value) for file, value in zip(files, odds, strict=True)}})
    for line in sys.stdin:
        asked = json.loads(line)
        say({"rates": rates(tier, inputs, asked["seconds"], asked["sizes"])})


if __name__ == "__main__":
    main()
