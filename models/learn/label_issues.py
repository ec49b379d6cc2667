"""Labels that are probably wrong, by confident learning (C. Northcutt, L. Jiang, I. Chuang, 2021), from
cleanlab."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

LEAST = 20
"""With fewer labels of either class the estimate says nothing."""


class CleanlabMissing(Exception):
    """cleanlab is not installed; the message says how to get it."""


def label_issues(labels: Sequence[bool], probabilities: Sequence[float]) -> list[int]:
    """Indices of suspicious labels, worst first; none with fewer than `LEAST` of either class.

    `probabilities` P(roadwork) in [0, 1] by a model that was not trained on the picture in question.
    Raises CleanlabMissing, or ValueError for sequences of different length.
    """
    if len(labels) != len(probabilities):
        raise ValueError(f"{len(labels)} labels, {len(probabilities)} probabilities")
    if min(sum(labels), len(labels) - sum(labels)) < LEAST:
        return []
    if importlib.util.find_spec("cleanlab") is None:
        raise CleanlabMissing("this needs cleanlab: pip install 'streetvision-miner[capture]'")
    import numpy as np
    from cleanlab.filter import find_label_issues

    positive = np.asarray(probabilities, dtype=float)
    found = find_label_issues(
        labels=np.asarray(labels, dtype=int),
        pred_probs=np.column_stack([1.0 - positive, positive]),
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )
    return [int(index) for index in found]
