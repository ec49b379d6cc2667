"""One decision from what the members said.

`simple`     log-odds add up: what serves when nothing was fitted
`last_word`  the word of an arbiter, which nothing was fitted on
`scene`      what a tier said about each view, as one word about the scene
`rows`       what fitted fusions learn from and are asked; `table` keeps it on disk
`inputs`     rows as the input of a network
`registry`   the kinds by name, fitting, saving and loading
`total`      the kind "sum"
`logistic`   L2 logistic regression with missing-indicators: the baseline that the rest must beat
`wide`       the same on features and pooled cameras too
`attention`  gated attention over the views of a scene; `pooling` trains it
`meta`       Meta Fusion, a student per subset of members; `students` trains them, `selection` weighs them
`residual`   folding from cheap to dear with cross gating, absent branches no-ops; `branches` trains it
`choose`     which kind, on validation data; `compare` the table
`training`   what the fits share

Training needs torch, serving numpy. Only `simple` is imported here, so that the cascade needs no numpy.
"""

from models.fusion.simple import fuse

__all__ = ["fuse"]
