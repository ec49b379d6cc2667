"""What must be true of a judge before anybody is answered: the same in a child and in a thread."""

from __future__ import annotations

from miner.engine.golden import golden, refusal
from miner.engine.judge import Judge


def prove(judge: Judge, *, known: bool) -> None:
    """Have every member judge the golden set (`known`), or a plain picture. Raises whatever a member raises
    on one, and ValueError when the first one is worse than guessing."""
    items = golden() if known else ()
    said = judge.warm_up([item.views[0] for item in items])
    first = next(iter(said.values()))[: len(items)]
    if items and (why := refusal(items, [each.log_odds for each in first])):
        raise ValueError(why)
