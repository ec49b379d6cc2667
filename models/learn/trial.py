"""From what two models said in a trial to the gate's evidence, and whether more evidence could still help."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.learn.gate import Paired, Rules, e_value


def paired(
    roadwork: Sequence[bool], champion: Sequence[float | None], challenger: Sequence[float | None]
) -> Paired:
    """Log-odds of both for the same n items; None (no answer) counts as no finite number."""
    return Paired(np.asarray(roadwork, bool), _numbers(champion), _numbers(challenger))


def worse(items: Paired, rules: Rules) -> bool:
    """Whether the challenger is shown to be worse: the gate's own test with the two in each other's place.
    Then it need not be tried again when more labels have come."""
    return e_value(-items.gains) >= rules.e_value


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.asarray([np.nan if value is None else value for value in values], np.float64)
