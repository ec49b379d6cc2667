"""VLMs in the engine's own process, with compression: what their steps leave of tokens and cache."""

from __future__ import annotations

from collections.abc import Iterable

from models.catalog import Model, Precision
from models.catalog.entry import KV_BITS
from models.compress import plan
from models.compress.step import Step
from models.residency.memory import Member


def here(model: Model, lines: Iterable[str], precision: Precision = "bf16") -> Member:
    """`model` run by transformers in process, with steps of `models.compress`. Raises ValueError with a
    sentence.

    Tokens are reckoned as what pruning keeps, and the cache as what is left after eviction, in the width of
    its packing: a step that thins out layers one by one counts as if it thinned out all of them.
    """
    if model.text is None or model.text.cross_layers:
        raise ValueError(f"{model.name} does not read pictures as tokens of its sequence: it takes no steps")
    steps = plan(lines)
    widths = [step.name for step in steps if step.method.kind == "cache"]
    kv = widths[0] if widths and widths[0] in KV_BITS else "bf16"
    kept = 1.0
    for step in steps:
        kept *= step.kept if _thins(step) else 1.0
    return Member(model, precision=precision, kv=kv, inprocess=True, kept=kept)


def _thins(step: Step) -> bool:
    return step.method.kind in ("prune", "evict")
