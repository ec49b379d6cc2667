"""The bare model in a process like the engine child's: what it can do when nobody asks over a network.

`python -m harness.bare` reads one JSON line {"model", "images"}, perhaps with "options" of `load_classifier`,
answers {"predictions"}: image name ->
P(roadwork), "prepare_s": CPU seconds of decoding and preparing one. Then each line {"seconds", "sizes"} is
answered with images per second by batch size, and the coefficient of variation of a batch's time."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.front import say
from models import heap
from models.calibration import probability
from models.classifier import load_classifier
from models.core import Tier
from models.imaging.decode import decode
from models.imaging.header import Limits

LIMITS = Limits(2**22, 25_000_000)


def rates(
    tier: Tier, inputs: Sequence[Any], seconds: float, sizes: Sequence[int]
) -> tuple[dict[int, float], float]:
    """Images per second of each batch size, each measured for a part of the time; and the median over sizes
    of the standard deviation of a batch's time over its mean."""
    found, spreads = {}, []
    for size in sizes:
        taken: list[float] = []
        while sum(taken) < seconds / len(sizes):
            start = time.perf_counter()
            tier.evidence(inputs[:size])
            taken.append(time.perf_counter() - start)
        found[size] = size * len(taken) / sum(taken)
        spreads.append(statistics.pstdev(taken) / statistics.fmean(taken))
    return found, statistics.median(spreads)


def main() -> None:
    heap.keep()
    said = json.loads(sys.stdin.readline())
    tier = load_classifier(said["model"], device="cpu", **said.get("options", {}))
    files = sorted(Path(said["images"]).iterdir())
    start = time.process_time()
    inputs = [tier.prepare(decode(file.read_bytes(), LIMITS, side=tier.side).image) for file in files]
    prepare_s = (time.process_time() - start) / len(files)
    odds = [tier.evidence([each])[0].log_odds for each in inputs]
    predictions = {file.name: probability(value) for file, value in zip(files, odds, strict=True)}
    say({"predictions": predictions, "prepare_s": prepare_s})
    for line in sys.stdin:
        asked = json.loads(line)
        found, spread = rates(tier, inputs, asked["seconds"], asked["sizes"])
        say({"rates": found, "spread": spread})


if __name__ == "__main__":
    main()
