"""Labels that somebody should look at again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from miner.ledger.kept import kept
from miner.ledger.labels import ROADWORK, agreed, by_picture, labels


@dataclass(frozen=True, slots=True)
class Issue:
    """A label at odds with what was answered at the time, before anybody could learn from it."""

    sha256: str
    label: str
    source: str
    reviewer: str
    prediction: float


def issues(path: Path) -> list[Issue]:
    """Suspicious labels of kept pictures, worst first, see `models.learn.label_issues`. Raises
    LedgerUnreadable or CleanlabMissing."""
    from models.learn.label_issues import label_issues

    answers = {one.sha256: one.prediction for one in kept(path)}
    found = [
        Issue(sha256, label.label, label.source, label.reviewer, prediction)
        for sha256, given in by_picture(labels(path)).items()
        if (prediction := answers.get(sha256)) is not None and (label := agreed(given)) is not None
    ]
    suspicious = label_issues([one.label == ROADWORK for one in found], [one.prediction for one in found])
    return [found[index] for index in suspicious]
