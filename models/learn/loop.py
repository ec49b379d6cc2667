"""The training loop that every recipe shares: steps, the average, checkpoints, and going on after a crash."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models import heap
from models.learn import snapshot
from models.learn.logbook import open_logbook
from models.learn.network import Average
from models.learn.recipe import Recipe
from models.learn.snapshot import Parts, Progress, SnapshotError, State

Batch = tuple[torch.Tensor, torch.Tensor]
Batches = Callable[[int], Iterator[Batch]]
"""Number of the first step that is still to do, from 0 -> the batches from there on."""
Advance = Callable[[Batch, int], float]
"""One step of the optimiser on a batch; the step's number from 1 -> the loss."""
Figures = Mapping[str, float] | None
Look = Callable[[int, State], Figures]
"""Called at checkpoints with the step and the averaged weights; figures for the log, if any."""


@dataclass(frozen=True)
class Keep:
    """Where a training is kept while it runs, so that it can be interrupted.

    `folder`   of its own; None: it is not kept.
    `every_s`  seconds between snapshots, the most that an interruption costs; one more at each checkpoint.
    `logs`     folder for TensorBoard's event files; None: none.
    `note`     what the training depends on besides data, recipe and seed.
    """

    folder: Path | None = None
    every_s: float = 60.0
    logs: Path | None = None
    note: str = ""

    def below(self, name: str) -> Keep:
        """The same, in subfolders of this name."""
        folder, logs = (None if each is None else each / name for each in (self.folder, self.logs))
        return Keep(folder, self.every_s, logs, self.note)


NOWHERE = Keep()


def run(
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: Average,
    batches: Batches,
    advance: Advance,
    rate: Callable[[int], float],
    recipe: Recipe,
    *,
    last: int | None = None,
    look: Look | None = None,
    say: Callable[[str], None] = print,
    keep: Keep = NOWHERE,
    key: str = "",
) -> list[float]:
    """Train until step `last` (None: `recipe.steps`); the losses of all steps, earlier runs included.

    A kept training goes on from its snapshot, and is shown its earlier checkpoints again, so what `look`
    gathers is whole. `rate` the learning rate of a step from 1. From then on the process keeps freed memory
    (`models.heap`). Raises SnapshotError."""
    heap.keep()
    parts = Parts(module, optimiser, average.state)
    asked = {max(1, round(part * recipe.steps)) for part in recipe.checkpoints}
    losses = _resumed(keep, key, parts, average, asked, look)
    if losses:
        say(f"goes on after step {len(losses)}")
    with open_logbook(keep.logs, len(losses)) as log:
        kept_at = time.monotonic()
        for step, batch in enumerate(batches(len(losses)), start=len(losses) + 1):
            for group in optimiser.param_groups:
                group["lr"] = rate(step)
            losses.append(advance(batch, step))
            average.update(module)
            log("loss", losses[-1], step)
            log("rate", rate(step), step)
            if step % 20 == 0:
                say(f"step {step}: loss {np.mean(losses[-20:]):.3f}")
            if look and step in asked:
                _keep_average(keep, key, step, average.state)
            due = step in asked or step == (last or recipe.steps)
            if keep.folder and (due or time.monotonic() - kept_at >= keep.every_s):
                snapshot.save(keep.folder, key, parts, Progress(losses, average.steps))
                kept_at = time.monotonic()
            if look and step in asked:
                for name, value in (look(step, average.state) or {}).items():
                    log(name, value, step)
    return losses


def _resumed(
    keep: Keep, key: str, parts: Parts, average: Average, asked: set[int], look: Look | None
) -> list[float]:
    """The losses so far, everything put back, and earlier checkpoints shown."""
    if keep.folder is None:
        return []
    progress = snapshot.load(keep.folder, key, parts)
    if progress is None:
        return []
    average.steps = progress.averaged
    for step in sorted(each for each in asked if look and each <= len(progress.losses)):
        path = _checkpoint(keep.folder, step)
        tensors, about = snapshot.read(path)
        if about.get("key") != key:
            raise SnapshotError(f"{path} is of another training: name another folder")
        if look:
            look(step, tensors)
    return progress.losses


def _keep_average(keep: Keep, key: str, step: int, state: State) -> None:
    if keep.folder:
        snapshot.write(_checkpoint(keep.folder, step), state, {"key": key})


def _checkpoint(folder: Path, step: int) -> Path:
    return folder / f"average-{step}.safetensors"
