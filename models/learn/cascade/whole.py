"""The whole cascade as a judge of images: asked as it is served, its members one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from models import description
from models.cascade import Ask, Plan, State, step
from models.core import Tier, Verdict
from models.learn.judge import Judge, difficulty
from models.learn.metrics import Floats
from models.learn.traces import hear
from models.members import load


def open_cascade(folder: Path, device: str = "cpu") -> tuple[list[Tier], Plan]:
    """The members of the cascade in `folder` and how it decides. Raises ValueError."""
    described = description.read(folder)
    tiers = [load(spec, device) for spec in described.tiers]
    plan, _ = description.decide(described, [(tier.name, tier.version) for tier in tiers])
    return tiers, plan


def judge_whole(folder: Path) -> Judge:
    """Fused log-odds of the cascade in `folder`. Raises ValueError."""
    return judge_members(*open_cascade(folder))


def judge_members(
    members: Sequence[Tier], plan: Plan, note: Callable[[Verdict], None] = lambda verdict: None
) -> Judge:
    """Fused log-odds; `note` sees every verdict."""
    tiers = {tier.name: tier for tier in members}

    def judge(images: Sequence[Image.Image]) -> Floats:
        verdicts = [decide(tiers, plan, image) for image in images]
        for verdict in verdicts:
            note(verdict)
        return np.array([0.0 if each.log_odds is None else each.log_odds for each in verdicts])

    return judge


def decide(tiers: dict[str, Tier], plan: Plan, image: Image.Image, id: str = "") -> Verdict:
    """One image, nobody in a hurry."""
    scene = difficulty(image) if plan.deferral is not None else {}
    state = State(id, math.inf, tuple(tiers), plan=plan, scene=scene)
    while isinstance(word := step(state, 0.0), Ask):
        boxes = [box for item in state.evidence for box in item.boxes]
        said, _ = hear(tiers[word.tier], image, boxes)
        state = state.lost(word.tier) if said is None else state.heard(said)
    return word
