"""Kept pictures with a label: what the memory, the gate and the training learn from."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from miner.capture.store import picture
from miner.ledger import LEDGER_NAME
from miner.ledger.labels import PSEUDO, ROADWORK, agreed, by_picture, captured_labels


@dataclass(frozen=True, slots=True)
class Labelled:
    """One labelled picture.

    `sha256`  of the bytes a validator sent; `at_ns` when, nanoseconds since 1970; `month` the same as YYYY-MM
              (UTC).
    `source`  of the label: "review", "testnet", "validator" or "pseudo"; all but the last are truth.
    `read`    gives the picture as JPEG bytes (downscaled); raises miner.capture.NoPicture when it has gone.
    """

    sha256: str
    at_ns: int
    roadwork: bool
    source: str
    month: str
    read: Callable[[], bytes] = field(compare=False)


def labelled(data_path: Path, *, reviewers: int = 1, guesses: bool = True) -> list[Labelled]:
    """Every kept picture whose label is agreed (`miner.ledger.labels.agreed`), oldest picture first.

    `reviewers` who must agree on a reviewed one; `guesses` with what only our own models say ("pseudo"),
    which may teach a model but must not decide between two. Raises LedgerUnreadable.
    """
    rows = captured_labels(Path(data_path) / LEDGER_NAME)
    seen = {label.sha256: at_ns for label, at_ns, _ in rows}
    found = []
    for sha256, given in by_picture(label for label, _, _ in rows).items():
        label = agreed(given, reviewers)
        if label is not None and (guesses or label.source != PSEUDO):
            at_ns, read = seen[sha256], partial(picture, Path(data_path), sha256)
            found.append(Labelled(sha256, at_ns, label.label == ROADWORK, label.source, _month(at_ns), read))
    return sorted(found, key=lambda one: one.at_ns)


def _month(at_ns: int) -> str:
    return time.strftime("%Y-%m", time.gmtime(at_ns / 1e9))
