"""The results as a table, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from miner.classify.scenes import REASONS, Row
from models.core import Verdict
from models.layout import Layout, of_verdict
from models.reason import sentence

COLUMNS = ("file", "prediction", "roadwork", "log_odds", "path", "certified", "ms", "notes")
SHOWN = 50
"""Rows of the table on a terminal; files hold them all."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NOT_WORK = ("queue", "total")


@dataclass(frozen=True, slots=True)
class Run:
    """What judged, and how fast: `seconds` from the first scene asked to the last answer."""

    versions: dict[str, str]
    device: str
    seconds: float


def is_roadwork(verdict: Verdict) -> bool:
    """The decision as the subnet takes it: above one half."""
    return verdict.prediction > 0.5


def work_ms(verdict: Verdict) -> float:
    """Milliseconds of work on it: decoding and tiers. Waiting for its turn in a folder is not counted."""
    return sum(value for stage, value in verdict.ms.items() if stage not in _NOT_WORK)


def csv_head() -> str:
    return _csv_line(COLUMNS)


def csv_line(row: Row) -> str:
    """`COLUMNS` of a scene, with its line's end. Several views' files are joined by ";"."""
    return _csv_line(_cells(row))


def _csv_line(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()


def _cells(row: Row) -> list[str]:
    file, verdict = ";".join(_cell(str(path)) for path in row.scene.files), row.verdict
    if verdict is None or verdict.log_odds is None:
        return [file, "", "", "", "", "", "", f"error:{row.reason}"]
    return [
        *(file, f"{verdict.prediction:.6g}", str(int(is_roadwork(verdict))), f"{verdict.log_odds:.6g}"),
        *(">".join(verdict.path), str(int(verdict.certified)), f"{work_ms(verdict):.1f}"),
        ";".join(verdict.notes),
    ]


def _cell(text: str) -> str:
    """A name that a spreadsheet would run as a formula: the same file, spelled so that it is text."""
    return f".{os.sep}{text}" if text.startswith(_FORMULA) else text


def json_text(rows: Sequence[Row], run: Run) -> str:
    """Everything known; the verdicts as `Verdict.to_json` has them, and what /v1/classify answers."""
    results = [_result(row) for row in rows]
    about = {"versions": run.versions, "device": run.device, "seconds": round(run.seconds, 3)}
    return json.dumps({**about, "results": results}, indent=2) + "\n"


def _result(row: Row) -> dict[str, Any]:
    files = [str(path) for path in row.scene.files]
    said = failure(row.reason) if row.verdict is None else answer(row.verdict, len(files), row.layout)
    return {"files": files, **said, **({"stage": row.stage} if row.stage else {})}


def answer(verdict: Verdict, views: int, layout: Layout | None = None) -> dict[str, Any]:
    """A verdict on so many views in plain JSON types, with what is seen in a sentence ("" for nothing) and
    structured: by `layout`, or its boxes alone."""
    found = of_verdict(verdict) if layout is None else layout
    seen = {"seen": sentence(found, views), "layout": found.to_json()}
    return {"roadwork": is_roadwork(verdict), **seen, **verdict.to_json()}


def failure(reason: str) -> dict[str, Any]:
    """Why there is none: the reason for programs, and in words."""
    return {"error": reason, "message": REASONS.get(reason, reason)}


def table(rows: Sequence[Row], run: Run) -> RenderableType:
    """For a terminal: the first rows, and a summary."""
    made = Table(Column("File", overflow="fold"))
    for name in ("Verdict", "P", "Log-odds", "ms"):
        made.add_column(name, no_wrap=True)
    made.add_column("Notes")
    for row in rows[:SHOWN]:
        made.add_row(row.scene.name, *_facts(row))
    more = [f"and {len(rows) - SHOWN} more: --csv or --json has them all"] if len(rows) > SHOWN else []
    return Group(made, *more, summary(rows, run))


def _facts(row: Row) -> list[str | Text]:
    verdict = row.verdict
    if verdict is None or verdict.log_odds is None:
        return [Text("not judged", style="bold red"), "", "", "", row.error]
    said = Text("roadwork", style="bold yellow") if is_roadwork(verdict) else Text("none", style="green")
    numbers = [f"{verdict.prediction:.3f}", f"{verdict.log_odds:+.2f}", f"{work_ms(verdict):.0f}"]
    return [said, *numbers, ", ".join(verdict.notes)]


def summary(rows: Sequence[Row], run: Run) -> str:
    """One line: how many of what, how fast, by which model."""
    judged = [row.verdict for row in rows if row.verdict is not None]
    images = sum(len(row.scene.files) for row in rows if row.verdict is not None)
    parts = [f"{len(judged)} judged", f"{sum(map(is_roadwork, judged))} roadwork"]
    failed = Counter(row.error for row in rows if row.verdict is None)
    parts += [f"{count} not judged: {error}" for error, count in failed.most_common()]
    if judged and run.seconds:
        parts.append(f"{images / run.seconds:.1f} images/s")
    models = " > ".join(f"{name} {version}" for name, version in run.versions.items())
    return f"{', '.join(parts)}; {models} on {run.device}"
