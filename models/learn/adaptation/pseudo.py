"""Labels that nobody gave: when members of different families agree, are sure, and audits bear them out.

The rule, all of it: at least three families (never the one that is being trained alone), calibrated
probability above 0.99 or below 0.01 from each, an upper bound on the stratum's error from its audited images
of at most 1 %, at most 30 % of a batch, in the classes' proportion among true labels, at weight 0.3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from models.certify.bounds import binomial
from models.learn.adaptation.items import Item

FAMILIES = 3
SURE = math.log(0.99 / 0.01)
BOUND, CONFIDENCE = 0.01, 0.95
SHARE = 0.3
WEIGHT = 0.3
SOURCE = "pseudo"


@dataclass(frozen=True, slots=True)
class Guess:
    """An unlabelled image (`item`, whose label does not count yet) with the calibrated log-odds of each
    family of models ("classifier", "detector", "vlm") and the `stratum` whose audits vouch for it."""

    item: Item
    log_odds: Mapping[str, float]
    stratum: str

    @property
    def label(self) -> bool | None:
        """What all families say, if there are enough and all are sure; else None."""
        odds = list(self.log_odds.values())
        if len(odds) < FAMILIES or not all(abs(value) > SURE for value in odds):
            return None
        sides = {value > 0 for value in odds}
        return sides.pop() if len(sides) == 1 else None


@dataclass(frozen=True, slots=True)
class Audited:
    """Of a stratum's agreed images, those that a person then labelled, and how many were wrong."""

    images: int
    wrong: int

    @property
    def vouches(self) -> bool:
        """Whether the error is at most BOUND at CONFIDENCE: the exact test of Clopper and Pearson's bound.
        299 images without a mistake are the fewest that do."""
        return binomial(self.images, self.wrong, BOUND) <= 1 - CONFIDENCE


def admit(guesses: Sequence[Guess], audits: Mapping[str, Audited], true: Sequence[Item]) -> list[Item]:
    """Those that may be trained on beside the `true` labels; the surest first, none without true labels of
    both classes."""
    positives = sum(item.roadwork for item in true)
    if not 0 < positives < len(true):
        return []
    room = int(len(true) * SHARE / (1 - SHARE))
    share = positives / len(true)
    agreed = sorted((one for one in guesses if _vouched(one, audits)), key=_doubt)
    found = []
    for label, places in ((True, round(room * share)), (False, room - round(room * share))):
        side = [one.item for one in agreed if one.label is label][:places]
        found += [replace(item, roadwork=label, source=SOURCE, weight=WEIGHT) for item in side]
    return found


def _vouched(guess: Guess, audits: Mapping[str, Audited]) -> bool:
    return guess.label is not None and guess.stratum in audits and audits[guess.stratum].vouches


def _doubt(guess: Guess) -> float:
    return -fmean(abs(value) for value in guess.log_odds.values())
