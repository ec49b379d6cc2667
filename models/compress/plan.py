"""From lines of text to steps that can go together, and with a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models.compress.step import Step, parse

SINGLE = ("image", "inside", "cache", "evict", "attention", "decode")
"""Kinds of which a plan has one step at most; prunings, contrasts and conversions go one after another."""
ORDER = ("weights", "image", "prune", "inside", "attention", "cache", "evict", "contrast", "decode")
"""The order in which steps take effect, whatever the order they are written in; within a kind, as written."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a model offers to steps.

    `name`      for sentences.
    `visual`    whether its pictures are tokens of the language model's sequence (cross-attention has none).
    `head_dim`  of its attention, which a cache's blocks or groups must fill; None: not to be checked.
    `refuses`   kinds it cannot take, each with the reason.
    """

    name: str
    visual: bool = True
    head_dim: int | None = None
    refuses: tuple[tuple[str, str], ...] = ()


def plan(lines: Iterable[str], offer: Offer | None = None) -> tuple[Step, ...]:
    """The steps of `lines` in the order they take effect. Raises ValueError with a sentence naming the step.

    Without an `offer` only the steps themselves are checked: what can be said before a model is loaded.
    """
    steps = tuple(sorted(map(parse, lines), key=lambda step: ORDER.index(step.method.kind)))
    _check_together(steps)
    for step in steps:
        if offer is not None:
            _check_fit(step, offer)
    return steps


def _check_together(steps: Sequence[Step]) -> None:
    for number, step in enumerate(steps):
        for other in steps[number + 1 :]:
            if step.method.kind == other.method.kind and step.method.kind in SINGLE:
                raise ValueError(f"'{step}' and '{other}' are both of the kind {step.method.kind}: keep one")
            if step.name == other.name:
                raise ValueError(f"{step.name} is there twice: keep one")
            if _excludes(step, other) or _excludes(other, step):
                raise ValueError(f"'{step}' and '{other}' cannot go together: keep one")


def _excludes(step: Step, other: Step) -> bool:
    options = {f"{name}={value}" for name, value in other.options.items()}
    return bool(step.method.against & {other.name, other.method.kind, *options})


def _check_fit(step: Step, offer: Offer) -> None:
    kind = step.method.kind
    for refused, why in offer.refuses:
        if refused in (kind, step.name):
            raise ValueError(f"'{step}' does not go with {offer.name}: {why}")
    if kind in ("image", "prune", "inside", "evict") and not offer.visual:
        raise ValueError(
            f"'{step}' does not go with {offer.name}: its pictures are no tokens of its sequence"
        )
    if kind == "cache" and offer.head_dim is not None:
        _check_head(step, offer.name, offer.head_dim)


def _check_head(step: Step, name: str, width: int) -> None:
    """Stores one token, so that a format that does not fit is refused now and not at the first picture."""
    import torch

    try:
        step.method.load()(step, 1).update(*torch.zeros(2, 1, 1, 1, width), 0)
    except ValueError as error:
        raise ValueError(f"'{step}' does not go with {name}: {error}") from None
