"""What compression does to the small VLM's answers: single pictures, scenes of six views, reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from harness.downscaled import pooled, shape
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
from models.vlm.small.pruned import first_word
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
        self.sets = self._sets()
        self._dense = {name: self._odds((), chosen)[0] for name, chosen in self.sets.items()}
        self._said: dict[int, list[list[int]]] = {}

    def judge(self, lines: Sequence[str]) -> dict[str, Judged]:
        """By name of the set: "single" and "six"."""
        return {name: self._judged(name, chosen, lines) for name, chosen in self.sets.items()}

    def same_reasons(self, lines: Sequence[str], count: int) -> float:
        """Share of six-view scenes whose reason is word for word the dense one."""
        if count not in self._said:
            self._said[count] = self._speak((), count)
        told = self._speak(lines, count)
        return float(np.mean([one == other for one, other in zip(self._said[count], told, strict=True)]))

    def _speak(self, lines: Sequence[str], count: int) -> list[list[int]]:
        some = self.sets["six"].maps[:count]
        return self._compressed(lines).speak(some, torch.ones(some.shape[:2], dtype=torch.bool))

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
        shares = [step.kept for step in plan(lines) if step.method.kind == "image"]
        logits, kept = self._coarser(shares[0], chosen) if shares else self._read(lines, chosen)
        raw = (logits[:, TOKENS[YES]] - logits[:, TOKENS[NO]]).double().tolist()
        return np.array([self.tier.calibration.apply(one) for one in raw]), kept

    def _read(self, lines: Sequence[str], chosen: Set) -> tuple[Tensor, float]:
        model, read = self._compressed(lines), []
        for part in chosen.maps.split(BATCH):
            read += model.read(part, torch.ones(part.shape[:2], dtype=torch.bool))
        return torch.stack([one.logits for one in read]), float(np.mean([one.kept for one in read]))

    @torch.inference_mode()
    def _coarser(self, share: float, chosen: Set) -> tuple[Tensor, float]:
        """Of smaller pictures, at as many tokens as pruning leaves."""
        network, found, kept = self.tier.network, [], 0
        grid = shape(network.shape.grid, share)
        for part in chosen.maps.split(BATCH):
            seen = pooled(network, part, grid)
            everything = torch.ones(seen.shape[:3], dtype=torch.bool)
            found.append(first_word(network, seen, everything.any(2), everything))
            kept = everything[0].sum()
        return torch.cat(found), float(kept)

    def _compressed(self, lines: Sequence[str]) -> Compressed:
        network = self.tier.network
        return Compressed(network, Applied(plan(lines, offer(network)), network.shape.layers))

    def _sets(self) -> dict[str, Set]:
        seen = look(self.tier, self._frames)
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


def look(tier: SmallVLM, frames: Sequence[Image.Image]) -> Tensor:
    """(n, features, grid, grid) maps of the backbone."""
    return torch.cat([tier._see([(tier.prepare(frame),)])[0][:, 0] for frame in frames])
