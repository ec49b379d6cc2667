"""The golden set: pictures of ours whose side nobody doubts, drawn by `models.scenes` when the project was
made (`python -m models.scenes.golden`). A model that fails on them is broken, whatever else it can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"
LEAST = 2
"""Fewer on their side are worse than guessing (once in 315 by chance): the label is the wrong one, or the
weights are."""


@dataclass(frozen=True, slots=True)
class Item:
    """A picture whose side is known."""

    name: str
    roadwork: bool
    views: tuple[bytes, ...]


@cache
def golden() -> tuple[Item, ...]:
    """Files are called `roadwork-NAME.jpg` or `none-NAME.jpg`."""
    files = sorted(FOLDER.glob("*.jpg"))
    return tuple(Item(path.stem, path.stem.startswith("roadwork"), (path.read_bytes(),)) for path in files)


def refusal(items: Sequence[Item], log_odds: Sequence[float]) -> str:
    """What keeps a model that just started, with nobody to be held against, from being ready; "" if nothing.
    `log_odds` of each item; that none gives no number is seen to by whoever asked."""
    count = sum((value > 0) == item.roadwork for item, value in zip(items, log_odds, strict=True))
    if count >= LEAST:
        return ""
    return f"{count} of {len(items)} known pictures on their side: is model.label the positive class?"
