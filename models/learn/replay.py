"""Recorded challenges through the cascade's own state machine: what a plan answers, and what it costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.cascade import Ask, Plan, State, step
from models.core import Verdict
from models.fusion.rows import Flags, Floats
from models.learn.traces import Heard


@dataclass(frozen=True)
class Replayed:
    """`scores` (n,) fused log-odds, `cost_ms` (n,) of the members asked, `asked` (n, M) which those were."""

    scores: Floats
    cost_ms: Floats
    asked: Flags


def replay(heard: Heard, plan: Plan) -> Replayed:
    """Every challenge on its own, nobody in a hurry; a member that failed on it is lost. 0 log-odds when
    nobody spoke."""
    verdicts = [_walk(heard, plan, row) for row in range(len(heard))]
    members = heard.rows.members
    lost = ~heard.rows.present
    asked = np.array([[name in each.path for name in members] for each in verdicts]) | lost
    scores = np.array([0.0 if each.log_odds is None else each.log_odds for each in verdicts])
    return Replayed(scores, np.where(asked, heard.cost_ms, 0.0).sum(axis=1), asked)


def _walk(heard: Heard, plan: Plan, row: int) -> Verdict:
    said = {item.tier: item for item in heard.evidence(row)}
    scene = heard.scenes[row] if heard.scenes else {}
    state = State(str(row), math.inf, heard.rows.members, plan=plan, scene=scene)
    while isinstance(word := step(state, 0.0), Ask):
        state = state.heard(said[word.tier]) if word.tier in said else state.lost(word.tier)
    return word
