"""One readable line and one JSON line per challenge, written in batches by the recorder's thread."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from loguru import logger

from miner.ledger.rows import exchange_text
from miner.records import Exchange
from miner.terminal import short

MAX_BYTES = 32 * 2**20
KEEP = 3
"""Rotated files kept beside the current one: at most (KEEP + 1) * MAX_BYTES on disk."""


class RequestLog:
    """A sink. The readable lines go to the log, the JSON lines to `path` (None: nowhere), rotated by size."""

    def __init__(self, path: Path | None, *, max_bytes: int = MAX_BYTES, keep: int = KEEP) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep

    def write(self, batch: Sequence[Exchange]) -> None:
        """Raises OSError when the file cannot be written; the readable lines are out by then."""
        if not batch:
            return
        logger.opt(raw=True).info("".join(map(readable, batch)))
        if self._path is not None:
            self._append(self._path, "".join(map(json_line, batch)))

    def _append(self, path: Path, text: str) -> None:
        path.touch(mode=0o600)
        with path.open("a", encoding="ascii") as file:
            file.write(text)
            size = file.tell()
        if size >= self._max_bytes:
            self._rotate(path)

    def _rotate(self, path: Path) -> None:
        for number in range(self._keep - 1, 0, -1):
            older = _numbered(path, number)
            if older.exists():
                older.replace(_numbered(path, number + 1))
        path.replace(_numbered(path, 1))


def readable(exchange: Exchange) -> str:
    """A line for people, of our own words and numbers only: nothing a caller chose can forge one."""
    seconds, rest = divmod(exchange.at_ns, 10**9)
    stamp = _stamp(seconds)
    said = f"p={exchange.prediction:.3f}" if exchange.prediction is not None else f"HTTP {exchange.status}"
    stages = _stages(tuple(exchange.ms)) % tuple(exchange.ms.values())
    margin = f" left {exchange.margin_s:.1f} s" if exchange.margin_s is not None else ""
    path = ">".join(exchange.path) + ("!" if exchange.certified else "") if exchange.path else "-"
    notes = f" ({', '.join(exchange.notes)})" if exchange.notes else ""
    return (
        f"{stamp}.{rest // 10**6:03d} {exchange.outcome:<8} {said} {short(exchange.caller)} ms[{stages}]"
        f"{margin} {path} {exchange.size / 1000:.1f} kB {exchange.id}{notes}\n"
    )


@lru_cache(maxsize=64)
def _stages(names: tuple[str, ...]) -> str:
    """The form of the stages' times; most challenges go through the same ones."""
    return " ".join(name.replace("%", "%%") + " %.1f" for name in names)


@lru_cache(maxsize=4)
def _stamp(seconds: int) -> str:
    """Local time; many challenges share a second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def json_line(exchange: Exchange) -> str:
    """All of an exchange on one line of ASCII."""
    return exchange_text(exchange) + "\n"


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
