"""The gate between a trial and a promotion: `models.learn.gate` on what was said, in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from miner.engine.golden import Item
from miner.swap.asking import Said
from miner.swap.trial import Ruling, Trial

HALF = 0.5
"""Share of the time to answer that the slowest 5 % may take: the rest is for queues."""
NOISE = 0.02
"""Share of the time to answer below which nobody is called slower than another."""


async def gate(trial: Trial) -> Ruling:
    """Rules on a trial. Numbers are crunched beside the event loop."""
    return await asyncio.to_thread(rule, trial)


def rule(trial: Trial) -> Ruling:
    """What speaks for or against the challenger. One that fails for want of labels only, and is not shown to
    be worse, may come again."""
    from models.learn.gate import GateEvidence, Rules, decide
    from models.learn.trial import paired, worse

    rules = Rules(deadline_ms=trial.within_s * HALF * 1e3)
    items = paired(*_columns(trial.items, trial.champion, trial.challenger))
    evidence = GateEvidence(
        items,
        paired(*_columns(trial.known, trial.known_champion, trial.known_challenger)),
        _times(trial.champion, trial.within_s),
        _times(trial.challenger, trial.within_s),
    )
    found = decide(evidence, rules)
    all_else = decide(evidence, replace(rules, e_value=0.0, margin=1.0))
    figures = {"e_value": round(found.e_value, 4), "labelled": len(items)}
    return Ruling(found.promote, found.reasons, figures, final=worse(items, rules) or not all_else.promote)


def _columns(
    items: Sequence[Item], champion: Sequence[Said], challenger: Sequence[Said]
) -> tuple[list[bool], list[float | None], list[float | None]]:
    """Without those that are no picture to either."""
    rows = [row for row in zip(items, champion, challenger, strict=True) if not row[1].unfair]
    return [i.roadwork for i, _, _ in rows], [a.log_odds for _, a, _ in rows], [b.log_odds for *_, b in rows]


def _times(said: Sequence[Said], within_s: float) -> tuple[float, ...]:
    return tuple(max(each.ms, NOISE * within_s * 1e3) for each in said if each.log_odds is not None)
