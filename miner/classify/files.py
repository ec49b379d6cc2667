"""Results on their way to files: text as it comes, rows in their order although they finish in another."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

from miner.classify.arguments import STDOUT
from miner.classify.output import csv_head, csv_line
from miner.classify.scenes import Row


class Unwritable(Exception):
    """A file cannot be written; the message names it and says why."""


class Sink:
    """`write` appends text and puts it through at once. Both it and making one raise Unwritable."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._stream: BinaryIO = sys.stdout.buffer if file == STDOUT else file.open("wb")
        except OSError as error:
            raise Unwritable(f"{file} cannot be written: {error.strerror}") from error

    def write(self, text: str) -> None:
        """Lone surrogates, as in names that are not UTF-8, are escaped."""
        try:
            self._stream.write(text.encode("utf-8", "backslashreplace"))
            self._stream.flush()
        except OSError as error:
            raise Unwritable(f"{self._file} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        if self._file != STDOUT:
            self._stream.close()


class Csv:
    """Takes numbered rows in any order, writes each as soon as all before it are there. `file` None: none."""

    def __init__(self, file: Path | None) -> None:
        self._sink = Sink(file) if file is not None else None
        self._waiting: dict[int, Row] = {}
        self._next = 0
        if self._sink:
            self._sink.write(csv_head())

    def put(self, number: int, row: Row) -> None:
        """Raises Unwritable."""
        if self._sink is None:
            return
        self._waiting[number] = row
        while (row_now := self._waiting.pop(self._next, None)) is not None:
            self._sink.write(csv_line(row_now))
            self._next += 1

    def close(self) -> None:
        """Write what waits for rows that will not come. Raises Unwritable."""
        if self._sink is not None:
            self._sink.write("".join(csv_line(self._waiting.pop(number)) for number in sorted(self._waiting)))
            self._sink.close()
