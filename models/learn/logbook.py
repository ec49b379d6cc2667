"""Figures of a training as TensorBoard event files, for whoever has the extra `train`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Log = Callable[[str, float, int], None]
"""(name, value, step)."""


class LogbookError(ValueError):
    """Figures cannot be written; the message says what to install."""


def silent(name: str, value: float, step: int) -> None:
    """Writes nothing."""


@contextmanager
def open_logbook(folder: Path | None, step: int = 0) -> Iterator[Log]:
    """Writes to `folder`, in which what an interrupted run wrote from `step` on no longer counts; nowhere
    without one. Raises LogbookError without the package."""
    if folder is None:
        yield silent
        return
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise LogbookError("event files need pip install 'streetvision-miner[train]'") from error
    writer = SummaryWriter(str(folder), purge_step=step)
    try:
        yield writer.add_scalar
    finally:
        writer.close()
