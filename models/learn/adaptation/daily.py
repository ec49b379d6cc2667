"""The daily run: a new last layer where it helps, then temperature and bias; or those two alone."""

from __future__ import annotations

from pathlib import Path

from models.calibration import Calibration
from models.calibration import read as read_calibration
from models.checkpoint import CALIBRATION
from models.learn.adaptation import bias, candidate, head
from models.learn.adaptation.embed import Embedded
from models.learn.adaptation.outcome import Learned, compared
from models.learn.metrics import Floats


def daily(base: Path, seen: Embedded, out: Path, *, layer: bool = True, seed: int = 0) -> Learned:
    """Adapt the checkpoint `base` to `seen` (new items and replay) and write the candidate to `out`.

    `layer`: also the last layer. Items that are held never take part. Raises `candidate.NotAdaptable`."""
    old = read_calibration(base / CALIBRATION)
    training, held = seen.pick(~seen.held), seen.pick(seen.held)
    odds = calibrated(old, training.raw)
    change = _change(training, odds, seed) if layer else None
    new = _calibration(old, odds, odds if change is None else change.out_of_fold, training)
    count = len(training.items)
    if change is None and new == old:
        return Learned(False, f"nothing to learn from {count} labelled images")
    candidate.copy(base, out)
    if change is not None:
        candidate.write_head(out, change)
    candidate.write_calibration(out, new)
    candidate.write_trained(out, [item.key for item in training.items])
    before = calibrated(old, held.raw)
    changed = before if change is None else change(before, held.vectors)
    after = calibrated(new, old.temperature * changed + old.invert(0.0))
    losses = {} if change is None else {f"{pull:g}": loss for pull, loss in change.losses.items()}
    return compared(_why(count, change, old, new), count, held.items, before, after, {"losses": losses})


def calibrated(calibration: Calibration, raw: Floats) -> Floats:
    """`Calibration.apply` of (n,) raw log-odds, not clamped."""
    found: Floats = (raw - calibration.invert(0.0)) / calibration.temperature
    return found


def _calibration(old: Calibration, before: Floats, after: Floats, training: Embedded) -> Calibration:
    """For log-odds `after` that `old` has calibrated: temperature and bias, then neither class losing."""
    new = bias.recalibrate(old, after, training.roadwork, training.weights)
    if new is old and after is before:
        return old
    moved = calibrated(new, old.temperature * after + old.invert(0.0))
    return bias.after(new, bias.held_back(before, moved, training.roadwork), 1.0)


def _change(training: Embedded, odds: Floats, seed: int) -> head.Change | None:
    return head.learn(training.vectors, odds, training.roadwork, training.groups, training.weights, seed=seed)


def _why(count: int, change: head.Change | None, old: Calibration, new: Calibration) -> str:
    parts = [] if change is None else [f"a new last layer (pull {change.pull:g})"]
    if new != old:
        parts.append(f"temperature {old.temperature:.3f} to {new.temperature:.3f}")
        parts.append(f"threshold {old.threshold:.3f} to {new.threshold:.3f}")
    return f"from {count} labelled images: {', '.join(parts)}"
