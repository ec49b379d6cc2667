"""The days as files: CSV, and a chart as SVG, HTML or PNG."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TextIO

from miner.errors import OperatorError
from miner.rewards import chart
from miner.rewards.history import Day

PATIENCE_S = 60.0
TITLE = "streetvision-miner: alpha per day"


class ExportError(OperatorError):
    """The file cannot be written; the message says why and what works."""


def write_csv(days: Sequence[Day], path: Path) -> None:
    """A header and a row per day, to standard output when `path` is "-". Raises ExportError."""
    if path == Path("-"):
        _rows(days, sys.stdout)
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            _rows(days, file)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror or error}") from error


def _rows(days: Sequence[Day], file: TextIO) -> None:
    writer = csv.DictWriter(file, [field.name for field in fields(Day)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(day) for day in days)


def plot(days: Sequence[Day], path: Path) -> None:
    """A chart in the format that the name asks for: .svg, .html or .png. Raises ExportError."""
    makers = {".svg": _svg, ".html": _html, ".png": _png}
    try:
        maker = makers[path.suffix.lower()]
    except KeyError:
        raise ExportError(f"{path} must end in {', '.join(makers)}") from None
    try:
        maker(days, path)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror or error}") from error


def _svg(days: Sequence[Day], path: Path) -> None:
    path.write_text(chart.svg(days), encoding="utf-8")


def _html(days: Sequence[Day], path: Path) -> None:
    path.write_text(chart.page(days, TITLE), encoding="utf-8")


def _png(days: Sequence[Day], path: Path) -> None:
    """Drawn in a process of its own: nothing on this floor imports an image library."""
    path.touch()
    asked = {"title": TITLE, "bars": [(f"{day.date:%d %b}", day.alpha) for day in days]}
    done = subprocess.run(
        [sys.executable, "-m", "models.charts", str(path.absolute())],
        cwd=Path(__file__).parents[2],
        input=json.dumps(asked),
        text=True,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode:
        raise ExportError(f"{path} could not be drawn: {done.stderr.strip().splitlines()[-1]}")
