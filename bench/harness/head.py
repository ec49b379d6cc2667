"""A head for a network that nobody trained, so that its decisions mean something."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from torch import nn

from models.backends.export import FEATURES
from models.backends.quantise import shown
from models.backends.runtimes import Runner
from models.classifier import Classifier
from models.learn.data import Example

STRENGTHS = np.logspace(-1, 5, 13)


def give_head(tier: Classifier, runner: Runner, examples: Sequence[Example]) -> None:
    """Set the two rows of `tier`'s linear head to a ridge regression of the labels on what `runner` says the
    `FEATURES` of `examples` are; its strength by leave-one-out on these same examples."""
    heard = [runner(pixels)[1] for pixels in shown(tier, examples)]
    features = np.concatenate([each for each in heard if each is not None]).astype(np.float64)
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    truth = np.array([1.0 if each.roadwork else -1.0 for each in examples])
    fitted = RidgeCV(STRENGTHS).fit((features - mean) / spread, truth)
    weights = fitted.coef_ / spread
    bias = float(fitted.intercept_ - weights @ mean)
    head = tier.network.classifier
    assert isinstance(head, nn.Linear) and head.out_features == 2, FEATURES
    sign = 1.0 if tier.head.positive == 1 else -1.0
    with torch.no_grad():
        for row, side in ((1, sign), (0, -sign)):
            head.weight[row] = torch.from_numpy(side * weights)
            head.bias[row] = side * bias
