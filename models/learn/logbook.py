"""Figures of a training as TensorBoard event files, for whoever has the extra `train`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Log = Callable[[str, float, int], None]
"""(name, value, step)."""


class LogbookError(ValueError):
    """Figures cannot be written; the message says what to install."""


def silent(name: str, value: float, step: int) -> None:
    """Writes nothing."""


def open_logbook(folder: Path | None, step: int = 0) -> Log:
    """Writes to `folder`, in which what an interrupted run wrote from `step` on no longer counts; nowhere
    without one. Raises LogbookError without the package."""
    if folder is None:
        return silent
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise LogbookError("event files need pip install 'streetvision-miner[train]'") from error
    writer = SummaryWriter(str(folder), purge_step=step, flush_secs=10)

    def log(name: str, value: float, step: int) -> None:
        writer.add_scalar(name, value, step)
        writer.flush()

    return log
