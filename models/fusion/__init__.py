"""One decision from what the members said.

`simple`     log-odds add up: what serves when nothing was fitted
`rows`       what fitted fusions learn from and are asked
`logistic`   L2 logistic regression with missing-indicators: the baseline that the rest must beat
`attention`  gated attention over the views of a scene
`meta`       Meta Fusion: a student per subset of members, mutual learning, greedy selection
`residual`   folding from cheap to dear with cross gating; an absent branch is a no-op
`registry`   the kinds by name, saving and loading
`choose`     which kind, on validation data

Only `simple` is imported here, so that the cascade needs no numpy.
"""

from models.fusion.simple import fuse

__all__ = ["fuse"]
