"""Who teaches and who counts, from losses on validation data: clustering and greedy selection; numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from models.fusion.rows import Flags, Floats, balanced

CLUSTERS = (2, 3)
START = 3
PRUNE = 0.2
MOST = 30


def top_cluster(losses: Floats) -> Flags:
    """(S,) which students are in the best cluster of an exact 1-D k-means, k by the silhouette."""
    count = len(losses)
    best = np.ones(count, bool)
    if count < 3 or np.ptp(losses) == 0:
        return best
    order = np.argsort(losses, kind="stable")
    ranked = losses[order]
    cuts = [_kmeans(ranked, k) for k in CLUSTERS if k < count]
    chosen = max(cuts, key=lambda each: silhouette(ranked, np.searchsorted(each, np.arange(count), "right")))
    best[order[chosen[0] :]] = False
    return best


def _kmeans(ranked: Floats, k: int) -> tuple[int, ...]:
    """Where to cut sorted values into `k` runs, squared distance to the means being least."""

    def spread(cuts: tuple[int, ...]) -> float:
        return float(sum(((run - run.mean()) ** 2).sum() for run in np.split(ranked, cuts)))

    return min(combinations(range(1, len(ranked)), k - 1), key=spread)


def silhouette(values: Floats, clusters: np.ndarray[tuple[int], np.dtype[np.intp]]) -> float:
    """Mean over the values of (b - a) / max(a, b): own cluster's mean distance a, the nearest other's b."""
    distance = np.abs(values[:, None] - values)
    found = []
    for index, own in enumerate(clusters):
        mates = clusters == own
        if mates.sum() == 1:
            found.append(0.0)
            continue
        a = distance[index, mates].sum() / (mates.sum() - 1)
        b = min(distance[index, clusters == other].mean() for other in set(clusters.tolist()) - {own})
        found.append((b - a) / max(a, b) if max(a, b) > 0 else 0.0)
    return float(np.mean(found))


def shares(speaks: Flags, weights: Floats, spare: Floats) -> Floats:
    """(n, S) adding up to 1 over those who speak, all 0 where nobody does.

    `weights` (S,) of the selected students; where none of those speaks, `spare` (S,) > 0 of all.
    """
    own = speaks * weights
    own = np.where(own.sum(axis=1, keepdims=True) > 0, own, speaks * spare)
    total = own.sum(axis=1, keepdims=True)
    share: Floats = own / np.where(total > 0, total, 1.0)
    return share


@dataclass(frozen=True)
class Bench:
    """What S students said about validation rows: `log_odds` (n, S), `speaks` (n, S) whose inputs exist."""

    log_odds: Floats
    speaks: Flags
    roadwork: Flags

    def losses(self) -> Floats:
        """(S,) balanced log-loss of each, where it speaks; log 2 for one that never does."""
        found = np.full(self.log_odds.shape[1], np.log(2))
        for index, rows in enumerate(self.speaks.T):
            if rows.any():
                found[index] = log_loss(self.log_odds[rows, index], self.roadwork[rows])
        safe: Floats = np.maximum(found, 1e-6)
        return safe

    def blended(self, weights: Floats, spare: Floats) -> float:
        """Balanced log-loss of the students averaged as in service."""
        fused = (shares(self.speaks, weights, spare) * self.log_odds).sum(axis=1)
        return log_loss(fused, self.roadwork)


def log_loss(log_odds: Floats, roadwork: Flags) -> float:
    """Mean negative log-likelihood, both labels weighing a half."""
    return float((balanced(roadwork) * np.logaddexp(0, np.where(roadwork, -log_odds, log_odds))).mean())


def greedy(bench: Bench, losses: Floats) -> Floats:
    """(S,) weights adding up to 1, after Caruana: from the best three, the student that helps most joins,
    without replacement, as long as one helps; the worst fifth may not. Weights go with 1 / loss.

    Never worse on `bench` than its best single student: where it would be, that one is taken alone.
    """
    spare = 1 / losses
    order = np.argsort(losses, kind="stable").tolist()
    allowed = order[: max(START, round(len(order) * (1 - PRUNE)))]
    chosen, best = order[:START], np.inf
    while len(chosen) <= MOST:
        trials = [chosen] if best == np.inf else [[*chosen, each] for each in allowed if each not in chosen]
        scored = [(bench.blended(weigh(trial, losses), spare), trial) for trial in trials]
        if not scored or min(scored)[0] >= best:
            break
        best, chosen = min(scored)
    alone = [(bench.blended(weigh([each], losses), spare), each) for each in order]
    return weigh([min(alone)[1]] if min(alone)[0] < best else chosen, losses)


def weigh(chosen: list[int], losses: Floats) -> Floats:
    weights = np.zeros(len(losses))
    weights[chosen] = 1 / losses[chosen]
    normal: Floats = weights / weights.sum()
    return normal
