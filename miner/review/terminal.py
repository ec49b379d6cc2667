"""Review in a terminal, also over SSH: a coarse picture, its path, one key a label."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from miner.capture import picture
from miner.capture.store import Store
from miner.ledger.labels import NONE, ROADWORK, UNSURE

KEYS = {"r": ROADWORK, "n": NONE, "u": UNSURE}
UNDO, QUIT = "z", ("q", "\x03", "\x04", "")
HELP = "r roadwork   n none   u unsure   z undo   q quit"
LEFT_ROWS = 6
"""Rows of the terminal that are kept for the words."""


class Answers(Protocol):
    """Where labels go: a running miner, or its ledger. Raises ControlError."""

    def next(self, limit: int, reviewer: str) -> dict[str, Any]: ...
    def label(self, sha256: str, label: str, reviewer: str, seconds: float) -> None: ...
    def undo(self, reviewer: str) -> str | None: ...


def review(
    answers: Answers,
    data_path: Path,
    reviewer: str,
    *,
    say: Callable[[str], None],
    key: Callable[[], str] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Ask for labels until nothing waits or the person has enough: how many were given (an undone one less).

    `key` reads one key, "" when there are no more; without one the terminal is read.
    """
    key, given = key or read_key, 0
    while (found := _next(answers, reviewer)) is not None:
        item, waiting = found
        say(card(item, waiting, data_path))
        shown_at = clock()
        word = _key(key, say)
        if word in QUIT:
            return given
        if word == UNDO:
            back = answers.undo(reviewer)
            given -= back is not None
            say("taken back" if back else "nothing to undo")
            continue
        answers.label(item["sha256"], KEYS[word], reviewer, clock() - shown_at)
        say(KEYS[word])
        given += 1
    say("nothing waits for a label")
    return given


def card(item: dict[str, Any], waiting: int, data_path: Path) -> str:
    """A picture with what there is to know about it."""
    prediction = "-" if item["prediction"] is None else f"{item['prediction']:.3f}"
    words = f"{waiting:,} waiting · {item['reason']} · the miner said {prediction}"
    return "\n".join([_thumbnail(data_path, item["sha256"]), _where(data_path, item["sha256"]), words, HELP])


def _next(answers: Answers, reviewer: str) -> tuple[dict[str, Any], int] | None:
    found = answers.next(1, reviewer)
    return (found["items"][0], found["waiting"]) if found["items"] else None


def _key(key: Callable[[], str], say: Callable[[str], None]) -> str:
    while (word := key().lower()) not in (*KEYS, UNDO, *QUIT):
        say(HELP)
    return word


def _thumbnail(data_path: Path, sha256: str) -> str:
    from models.imaging.ansi import half_blocks

    columns, rows = shutil.get_terminal_size((80, 30))
    try:
        return half_blocks(picture(data_path, sha256), columns, max(4, rows - LEFT_ROWS))
    except OSError as error:
        return f"({error})"


def _where(data_path: Path, sha256: str) -> str:
    """The file, for a viewer elsewhere; of an encrypted one only its name."""
    path = Store(data_path).path(sha256, ".jpg")
    return str(path) if path.exists() else sha256


def read_key() -> str:
    """One key from the terminal, without waiting for a line; from a pipe, a line's first letter."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()[:1]
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)  # forgets what was typed ahead: nobody labels a picture that is not shown
        return os.read(number, 8).decode(errors="replace")[:1]
    except KeyboardInterrupt:
        return ""
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
