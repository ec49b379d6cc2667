"""Two models on the same challenges: which one is right where the other is wrong, and whether that is chance.

McNemar's exact test: of n challenges that only one of them gets right, k are the second's; were both equally
good, k would be binomial(n, 1/2). The e-value of `models.learn.gate` bets on the same pairs and stays valid
however often one looks. Challenges of one sequence are not independent: the interval of the difference is
bootstrapped over sequences, and where it and the test disagree, believe the interval.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.learn.gate import Paired, e_value
from models.learn.judge import Answers
from models.learn.metrics import balanced_mcc, bootstrap, rates


@dataclass(frozen=True, slots=True)
class Comparison:
    """`won` challenges only the second gets right, `lost` only the first; `p_value` of McNemar's exact test,
    two-sided; `e_value` that the second is better; `mcc` its balanced MCC minus the first's, `mcc_95` by
    sequence."""

    challenges: int
    won: int
    lost: int
    p_value: float
    e_value: float
    mcc: float
    mcc_95: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """JSON has no NaN: what one label alone cannot tell becomes None."""
        told = self.mcc == self.mcc
        return asdict(self) | ({} if told else {"mcc": None, "mcc_95": None})

    def sentence(self) -> str:
        low, high = self.mcc_95
        verdict = "better" if low > 0 else "worse" if high < 0 else "no different beyond the interval"
        gain = f"MCC {self.mcc:+.3f} [{low:+.3f} {high:+.3f}] by sequence"
        if self.mcc != self.mcc:
            verdict, gain = "not to be told apart by MCC", "there is one label only"
        return (
            f"The second model is {verdict}: {gain}; right alone on {self.won}, wrong alone on {self.lost} "
            f"of {self.challenges} challenges (McNemar p = {self.p_value:.2g}, e-value {self.e_value:.3g})."
        )


def compare(first: Answers, second: Answers, draws: int = 1000) -> Comparison:
    """Both must have been asked the same challenges. Raises ValueError otherwise."""
    if not np.array_equal(first.roadwork, second.roadwork) or not np.array_equal(
        first.sequences, second.sequences
    ):
        raise ValueError("the two were not asked the same challenges")
    right_first, right_second = ((each.scores > 0) == each.roadwork for each in (first, second))
    won, lost = int((right_second & ~right_first).sum()), int((right_first & ~right_second).sum())
    pairs = Paired(first.roadwork, first.scores, second.scores)

    def gain(rows: NDArray[np.intp]) -> float:
        return _mcc(second, rows) - _mcc(first, rows)

    whole = np.arange(len(first.scores))
    interval = bootstrap(first.sequences.tolist(), gain, draws)
    return Comparison(len(whole), won, lost, mcnemar(won, lost), e_value(pairs.gains), gain(whole), interval)


def mcnemar(won: int, lost: int) -> float:
    """Exact two-sided p-value of `won` against `lost` discordant pairs; 1 without any."""
    n, fewer = won + lost, min(won, lost)
    tail = sum(comb(n, k) for k in range(fewer + 1)) / 2**n
    return float(min(1.0, 2 * tail))


def _mcc(answers: Answers, rows: NDArray[np.intp]) -> float:
    return balanced_mcc(*rates(answers.scores[rows], answers.roadwork[rows]))
