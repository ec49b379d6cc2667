"""p-values for "the mean loss is above alpha" from independent losses in [0, 1], and the samples they take.

Angelopoulos, Bates, Candes, Jordan, Lei, "Learn then Test" (arXiv 2110.01052), section 3 and proposition 1;
the second is due to Bates et al., "Distribution-free, risk-controlling prediction sets" (arXiv 2101.02703).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


MOST = 1_000_000
"""Sample sizes above this are not looked for."""


def binomial_cdf(n: int, p: float, most: int | None = None) -> Floats:
    """P(Bin(n, p) <= k) for k = 0..min(n, most), 0 < p < 1."""
    k = np.arange(1, (n if most is None else min(n, most)) + 1)
    rises = np.log((n - k + 1) / k) + (math.log(p) - math.log1p(-p))
    log_mass = n * math.log1p(-p) + np.concatenate([[0.0], np.cumsum(rises)])
    table: Floats = np.minimum(np.cumsum(np.exp(log_mass)), 1.0)
    return table


@lru_cache(maxsize=256)
def _table(n: int, p: float) -> Floats:
    return binomial_cdf(n, p)


def binomial(n: int, losses: int, alpha: float) -> float:
    """Exact, for losses that are 0 or 1: P(Bin(n, alpha) <= losses). 1 without data."""
    return float(_table(n, alpha)[losses]) if n else 1.0


def hoeffding_bentkus(n: int, total: float, alpha: float) -> float:
    """For losses anywhere in [0, 1] that add up to `total`. 1 without data.

    min(exp(-n h(min(mean, alpha), alpha)), e P(Bin(n, alpha) <= ceil(n mean))) with
    h(x, y) = x ln(x/y) + (1-x) ln((1-x)/(1-y)).
    """
    if not n:
        return 1.0
    hoeffding = math.exp(-n * _divergence(min(total / n, alpha), alpha))
    bentkus = math.e * float(_table(n, alpha)[min(math.ceil(total), n)])
    return min(hoeffding, bentkus, 1.0)


def _divergence(x: float, y: float) -> float:
    """Kullback-Leibler divergence of two coins, in nats."""
    first = x * math.log(x / y) if x > 0 else 0.0
    return first + ((1 - x) * math.log((1 - x) / (1 - y)) if x < 1 else 0.0)


def sample_size(alpha: float, delta: float, losses: int = 0) -> int:
    """Least n at which `losses` losses of 0 or 1 give a p-value of at most `delta`."""
    found = _least(lambda n: losses, alpha, delta)
    if found is None:
        raise ValueError(f"more than {MOST} samples for alpha {alpha}")
    return found


def sample_size_at_rate(alpha: float, delta: float, rate: float) -> int | None:
    """About how many n pass when a share `rate` of them (rounded up) are losses; None if it cannot be."""
    return None if rate >= alpha else _least(lambda n: math.ceil(n * rate), alpha, delta)


def _least(losses: Callable[[int], int], alpha: float, delta: float) -> int | None:
    """By doubling and halving: an n that passes and whose predecessor does not; None above MOST."""

    def passes(n: int) -> bool:
        seen = losses(n)
        return seen <= n and float(binomial_cdf(n, alpha, seen)[-1]) <= delta

    high = 1
    while not passes(high):
        high *= 2
        if high > MOST:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return high
