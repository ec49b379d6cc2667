"""Finding out the fastest runtime while torch serves already, in a process beside it.

An export, every runtime loaded and timed: seconds of CPU, a minute on a busy host, with the interpreter held
for much of it. In a process of its own, at low priority, that is in nobody's way, and what a runtime does
wrong there harms nobody.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from loguru import logger

import models

NICE = 10
LOCK = "finding.lock"


def find(options: Mapping[str, Any], threads: int, then: Callable[[], bool]) -> None:
    """In the background: load the classifier of these `options` (`load_classifier`) in another process, which
    chooses a runtime for so many `threads` and notes it; then call `then`, in a thread of ours. It says
    whether there was a note. Nothing is raised: torch serves on."""
    threading.Thread(target=_find, args=(options, threads, then), name="backend", daemon=True).start()


def _find(options: Mapping[str, Any], threads: int, then: Callable[[], bool]) -> None:
    told = json.dumps({"threads": threads, "options": dict(options)})
    command = [sys.executable, "-P", "-m", "models.backends.beside", told]
    root = str(Path(models.__file__).parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    try:
        with subprocess.Popen(
            *(command,),
            stdin=subprocess.PIPE,  # stays open while we live: its end tells the other that nobody waits
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        ) as process:
            assert process.stderr is not None
            said = process.stderr.read().strip()
            process.wait()
        if not then():
            why = said.splitlines()[-1] if said else f"it ended with {process.returncode}"
            logger.warning("no faster runtime was found, torch judges: {}", why)
    except Exception as error:  # noqa: BLE001 - no process, no runtime: none may cost the model that serves
        logger.warning("no faster runtime was found, torch judges: {}: {}", type(error).__name__, error)


def main() -> None:
    """`python -m models.backends.beside JSON`: choose, and note what was chosen. Ends with its input."""
    said = json.loads(sys.argv[1])
    threading.Thread(target=_end_with_input, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(NICE)
    folder = Path(said["options"]["backends"])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        _alone(lock)
        import torch

        from models.classifier import load_classifier

        torch.set_num_threads(said["threads"])
        load_classifier(**said["options"])


def _alone(lock: IO[str]) -> None:
    """A standby of the same miner asks the same: it waits, and finds the note."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX)


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
