"""The golden set: pictures of ours whose side nobody doubts, drawn by `models.scenes` when the project was
made (`python -m models.scenes.golden`). A candidate that fails on them is broken, whatever else it can do."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from miner.swap.asking import Item, Said, right

FOLDER = Path(__file__).parent / "golden"
SLACK = 0.25
"""Share of them on which a candidate may do worse than the champion. Drawings are not what it is made for."""

LEAST = 2
"""Fewer on their side are worse than guessing (once in 315 by chance): the label is the wrong one, or the
weights are."""


@cache
def golden() -> tuple[Item, ...]:
    """Files are called `roadwork-NAME.jpg` or `none-NAME.jpg`."""
    files = sorted(FOLDER.glob("*.jpg"))
    return tuple(Item(path.stem, path.stem.startswith("roadwork"), (path.read_bytes(),)) for path in files)


def complaint(items: tuple[Item, ...], champion: list[Said], candidate: list[Said]) -> str:
    """What speaks against the candidate; "" if nothing. Its answers may end with a faulty one."""
    for item, said in zip(items, candidate, strict=False):
        if said.fault:
            return f"{said.fault} to the known picture {item.name}"
    before, now = right(items, champion), right(items, candidate)
    if now < before - SLACK * len(items):
        return f"{now} of {len(items)} known pictures on their side, and the champion has {before}"
    return ""


def refusal(items: Sequence[Item], log_odds: Sequence[float]) -> str:
    """What keeps a model that just started, with nobody to be held against, from being ready; "" if nothing.
    `log_odds` of each item; that none gives no number is seen to by whoever asked."""
    count = sum((value > 0) == item.roadwork for item, value in zip(items, log_odds, strict=True))
    if count >= LEAST:
        return ""
    return f"{count} of {len(items)} known pictures on their side: is model.label the positive class?"
