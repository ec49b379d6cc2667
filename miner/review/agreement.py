"""How far reviewers agree beyond chance: Cohen's kappa (J. Cohen, 1960), two by two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from miner.ledger.labels import NONE, REVIEW, ROADWORK, Label


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two reviewers on the `count` pictures that both called roadwork or none. `agreed` the share of equal
    labels; `kappa` in [-1, 1], None where chance alone explains it all (both always say the same word)."""

    first: str
    second: str
    count: int
    agreed: float
    kappa: float | None


def agreement(given: Iterable[Label]) -> list[Agreement]:
    """Every two reviewers with pictures in common, most pictures first. Of several labels by one reviewer the
    newest counts."""
    said: dict[str, dict[str, str]] = {}
    for one in sorted(given, key=lambda each: each.at_ns):
        if one.source == REVIEW:
            said.setdefault(one.reviewer, {})[one.sha256] = one.label
    found = [
        _between(first, second, _common(said[first], said[second]))
        for first, second in combinations(sorted(said), 2)
    ]
    return sorted((one for one in found if one.count), key=lambda one: -one.count)


def kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa of two raters' labels: (p_o - p_e) / (1 - p_e); None when p_e is 1 or there are none."""
    if not pairs:
        return None
    count = len(pairs)
    observed = sum(one == other for one, other in pairs) / count
    firsts, seconds = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    expected = sum(firsts[word] * seconds[word] for word in firsts) / count**2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def _common(one: dict[str, str], other: dict[str, str]) -> list[tuple[str, str]]:
    pairs = [(label, other[sha256]) for sha256, label in one.items() if sha256 in other]
    return [pair for pair in pairs if set(pair) <= {ROADWORK, NONE}]


def _between(first: str, second: str, pairs: list[tuple[str, str]]) -> Agreement:
    share = sum(one == other for one, other in pairs) / len(pairs) if pairs else 0.0
    return Agreement(first, second, len(pairs), share, kappa(pairs))
