"""What compression does to the small VLM's answers: single pictures, scenes of six views, reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from models.compress import plan
from models.compress.applied import Applied
from models.core import MAX_VIEWS
from models.learn.cascade.figures import Interval
from models.learn.data import Example
from models.learn.metrics import balanced_mcc, bootstrap, rates
from models.learn.regimes import SIDE
from models.learn.small_vlm.samples import Sample
from models.learn.small_vlm.scenes import Composer
from models.vlm.small import load_small_vlm
from models.vlm.small.compressed import Compressed, offer
from models.vlm.small.tier import SmallVLM
from models.vlm.small.words import NO, TOKENS, YES

BATCH = 64
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Set:
    """Scenes (n, views, features, grid, grid), their truth, the sequence of each one's first view."""

    maps: Tensor
    roadwork: NDArray[np.bool_]
    sequences: list[str]


@dataclass(frozen=True, slots=True)
class Judged:
    """On one set: MCC at equal prevalence with its interval by sequence; `flips` share of scenes whose answer
    is not the dense one, with its interval by sequence; mean visual `tokens` that were kept."""

    mcc: float
    mcc_95: Interval
    flips: float
    flips_95: Interval
    tokens: float


class Accuracy:
    """`views` of the examples' whole frames at 224 px; scenes are composed as in the small VLM's own
    report."""

    def __init__(self, examples: Sequence[Example], scenes: int, seed: int = 0) -> None:
        self.tier = load_small_vlm(device="cpu")
        self._frames = [each.load().resize((SIDE, SIDE), Image.Resampling.BILINEAR) for each in examples]
        samples = [Sample(each.roadwork, each.source) for each in examples]
        composer, rng = Composer(samples), np.random.default_rng(seed)
        self._drawn = [composer.draw(rng, MAX_VIEWS) for _ in range(scenes)]
        self._examples = examples
        self.sets = self._sets(())
        self._dense = {name: self._odds((), chosen)[0] for name, chosen in self.sets.items()}

    def judge(self, lines: Sequence[str]) -> dict[str, Judged]:
        """By name of the set: "single" and "six"."""
        smaller = any(step.method.kind == "image" for step in plan(lines))
        sets = self._sets(lines) if smaller else self.sets
        return {name: self._judged(name, chosen, lines) for name, chosen in sets.items()}

    def same_reasons(self, lines: Sequence[str], count: int) -> float:
        """Share of six-view scenes whose reason is word for word the dense one."""
        some = self.sets["six"].maps[:count]
        present = torch.ones(some.shape[:2], dtype=torch.bool)
        told = [self._compressed(each).speak(some, present) for each in ((), lines)]
        return float(np.mean([one == other for one, other in zip(*told, strict=True)]))

    def _judged(self, name: str, chosen: Set, lines: Sequence[str]) -> Judged:
        odds, tokens = self._odds(lines, chosen)
        flipped = (odds > 0) != (self._dense[name] > 0)

        def mcc(rows: NDArray[np.intp]) -> float:
            return balanced_mcc(*rates(odds[rows], chosen.roadwork[rows]))

        def flips(rows: NDArray[np.intp]) -> float:
            return float(flipped[rows].mean())

        whole = np.arange(len(odds))
        intervals = [bootstrap(chosen.sequences, each) for each in (mcc, flips)]
        return Judged(mcc(whole), intervals[0], flips(whole), intervals[1], tokens)

    def _odds(self, lines: Sequence[str], chosen: Set) -> tuple[Floats, float]:
        """Calibrated log-odds, mean visual tokens kept."""
        model, read = self._compressed(lines), []
        for part in chosen.maps.split(BATCH):
            read += model.read(part, torch.ones(part.shape[:2], dtype=torch.bool))
        logits = torch.stack([one.logits for one in read]).double()
        raw = (logits[:, TOKENS[YES]] - logits[:, TOKENS[NO]]).tolist()
        odds = np.array([self.tier.calibration.apply(one) for one in raw])
        return odds, float(np.mean([one.kept for one in read]))

    def _compressed(self, lines: Sequence[str]) -> Compressed:
        network = self.tier.network
        return Compressed(network, Applied(plan(lines, offer(network)), network.shape.layers))

    def _sets(self, lines: Sequence[str]) -> dict[str, Set]:
        shrink = Applied([step for step in plan(lines) if step.method.kind == "image"], 1).shrink
        seen = look(self.tier, self._frames, shrink)
        places = torch.tensor([scene.places for scene in self._drawn])
        groups = [each.sequence for each in self._examples]
        return {
            "single": Set(seen[:, None], np.array([each.roadwork for each in self._examples]), groups),
            "six": Set(
                seen[places],
                np.array([scene.roadwork for scene in self._drawn]),
                [groups[scene.places[0]] for scene in self._drawn],
            ),
        }


def look(
    tier: SmallVLM, frames: Sequence[Image.Image], shrink: Callable[[Image.Image], Image.Image]
) -> Tensor:
    """(n, features, grid, grid) maps of the backbone."""
    return torch.cat([tier._see([(tier.prepare(shrink(frame)),)])[0][:, 0] for frame in frames])
