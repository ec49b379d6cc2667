"""What is replayed: a bounded sample in which no class, source or month crowds out another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from models.learn.adaptation.items import Item

MOST = 6000


def replay(items: Sequence[Item], most: int = MOST, seed: int = 0) -> list[Item]:
    """At most `most` of the items, in their order: all gold (which may be more), then equal numbers from each
    stratum of class, source and month, as far as each has them."""
    gold = {item.key for item in items if item.gold}
    strata: dict[tuple[bool, str, str], list[str]] = defaultdict(list)
    for item in items:
        if item.key not in gold:
            strata[item.roadwork, item.source, item.month].append(item.key)
    chosen = gold | set(_evenly(list(strata.values()), max(0, most - len(gold)), seed))
    return [item for item in items if item.key in chosen]


def _evenly(strata: list[list[str]], most: int, seed: int) -> list[str]:
    """Smallest strata first, so that what they leave goes to the others."""
    rng = np.random.default_rng(seed)
    chosen: list[str] = []
    for index, stratum in enumerate(sorted(strata, key=len)):
        share = (most - len(chosen)) // (len(strata) - index)
        chosen += [stratum[at] for at in rng.permutation(len(stratum))[:share]]
    return chosen
