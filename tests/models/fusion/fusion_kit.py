"""Made-up rows with a known truth, and small fitted fusions of every kind."""

from functools import cache

import numpy as np

from models.fusion.registry import Fitted, fit
from models.fusion.rows import Rows
from models.fusion.students import fit_meta

MEMBERS = ("classifier", "regions", "vlm")
NAMES = {"regions": ("count", "largest")}


def world(count=400, seed=0, absent=0.0, views=True):
    """Sequences of four rows that share a label and a difficulty; dear members see better; some cameras and
    members are missing. The cameras' numbers are what each member says about each view."""
    rng = np.random.default_rng(seed)
    sequence = np.repeat(np.arange(count // 4), 4)
    roadwork = (rng.random(count // 4) < 0.5)[sequence]
    sign = np.where(roadwork, 1.0, -1.0) * rng.gamma(2.0, 0.7, count // 4)[sequence]
    log_odds = sign[:, None] * np.array([0.8, 1.0, 1.5]) + rng.normal(0, 1.5, (count, 3))
    cameras = log_odds[:, None, :] + rng.normal(0, 1.0, (count, 3, 3))
    features = np.stack([rng.poisson(np.where(roadwork, 3, 1)), rng.random(count)], axis=1).astype(float)
    cameras[rng.random((count, 3)) < 0.3] = np.nan
    gone = rng.random((count, 3)) < absent
    features[gone[:, 1]] = np.nan
    return Rows(
        MEMBERS,
        np.where(gone, np.nan, log_odds),
        roadwork,
        sequence.astype(str),
        {"regions": features},
        NAMES,
        cameras if views else None,
    )


@cache
def fitted(kind):
    """On a few hundred rows with gaps, not for long."""
    if kind == "meta":
        return Fitted(kind, fit_meta(world(absent=0.1), rhos=(1.0,), steps=40), names=NAMES)
    return fit(kind, world(absent=0.1))
