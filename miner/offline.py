"""Writing into the ledger while no miner runs: the data folder is held, so that none can start meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from miner.control import ControlError, DataFolder, DataFolderBusy
from miner.ledger import LEDGER_NAME, Ledger
from miner.recorder import Recorder

TICK_S = 0.02


@contextmanager
def written(data_path: Path) -> Iterator[Ledger]:
    """A ledger that somebody writes; all is on disk afterwards. Raises ControlError when a miner runs that
    does not answer, LedgerTooNew, or OSError."""
    folder = DataFolder(data_path)
    try:
        folder.hold()
    except DataFolderBusy as error:
        raise ControlError(str(error)) from error
    try:
        ledger = Ledger(data_path / LEDGER_NAME)
        recorder = Recorder([ledger], tick_s=TICK_S)
        recorder.start()
        try:
            yield ledger
        finally:
            recorder.stop()
            ledger.close()
    finally:
        folder.release()
