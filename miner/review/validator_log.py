"""Labels from an export of validators' public experiment logs, joined on the exact prediction.

A validator logs the float that we answered, so a row of the log is our challenge when its prediction is bit
by bit ours and its time is near. What several different pictures could be is dropped and counted.
"""

from __future__ import annotations

import csv
import json
import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from miner.ledger import Ledger
from miner.ledger.access import reading
from miner.ledger.labels import NONE, ROADWORK, VALIDATOR

TIMES = ("timestamp", "_timestamp", "at", "time")
VALIDATORS = ("validator", "validator_hotkey", "hotkey")
WORDS = {"1": ROADWORK, "1.0": ROADWORK, "true": ROADWORK, "roadwork": ROADWORK}
WORDS |= {"0": NONE, "0.0": NONE, "false": NONE, "none": NONE}
WINDOW_S = 120.0
MOST_BYTES = 256 * 2**20


class LogUnreadable(Exception):
    """The export is none; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Told:
    """One row of the log: that `validator` got `prediction` at `at_s`, where `label` is true."""

    at_s: float
    prediction: float
    label: str
    validator: str


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the rows: `useless` without time, prediction and label, `unmatched` not ours,
    `ambiguous` could be several pictures, or said two things of one, `joined` the pictures labelled."""

    rows: int
    useless: int
    unmatched: int
    ambiguous: int
    joined: int


def import_log(file: Path, ledger: Ledger, *, window_s: float = WINDOW_S) -> Report:
    """Queue the labels of all rows that are certainly ours. `file` is CSV, JSON or JSON lines with the fields
    timestamp (seconds or ISO 8601), prediction, label (0 or 1) and, if there, validator.

    Raises LogUnreadable or LedgerUnreadable. Repeating an import adds nothing.
    """
    raw = list(_rows(Path(file)))
    told = [row for each in raw if (row := _told(each)) is not None]
    ours = _answers(ledger.path)
    matches: dict[str, set[Told]] = defaultdict(set)
    unmatched = ambiguous = 0
    for row in told:
        found = _near(ours.get(row.prediction, []), row.at_s, window_s)
        unmatched += not found
        ambiguous += len(found) > 1
        if len(found) == 1:
            matches[found.pop()].add(row)
    joined = 0
    for sha256, rows in matches.items():
        if len({row.label for row in rows}) > 1:
            ambiguous += len(rows)
            continue
        joined += 1
        for row in rows:
            ledger.label(
                sha256, row.label, source=VALIDATOR, reviewer=row.validator, at_ns=int(row.at_s * 1e9)
            )
    return Report(len(raw), len(raw) - len(told), unmatched, ambiguous, joined)


def as_json(report: Report) -> dict[str, int]:
    return asdict(report)


def _answers(path: Path) -> dict[float, list[tuple[float, str]]]:
    """Prediction -> our answers with it, as (seconds since 1970, sha256), oldest first."""
    query = (
        "SELECT prediction, at_ns / 1e9, sha256 FROM challenges WHERE prediction IS NOT NULL AND sha256 != ''"
    )
    found: dict[float, list[tuple[float, str]]] = defaultdict(list)
    with reading(path) as db:
        for prediction, at_s, sha256 in db.execute(query) if db else ():
            found[prediction].append((at_s, sha256))
    return {prediction: sorted(answers) for prediction, answers in found.items()}


def _near(answers: list[tuple[float, str]], at_s: float, window_s: float) -> set[str]:
    start = bisect_left(answers, (at_s - window_s, ""))
    end = bisect_right(answers, (at_s + window_s, "g"))  # past every hex digit
    return {sha256 for _, sha256 in answers[start:end]}


def _told(row: Mapping[str, Any]) -> Told | None:
    """None for a row that lacks something or makes no sense."""
    label = WORDS.get(str(row.get("label", "")).strip().lower())
    at_s, prediction = _time(_first(row, TIMES)), _number(row.get("prediction"))
    if label is None or at_s is None or prediction is None or not 0 <= prediction <= 1:
        return None
    return Told(at_s, prediction, label, str(_first(row, VALIDATORS) or "log")[:64])


def _first(row: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _time(value: Any) -> float | None:
    number = _number(value)
    if number is not None or not isinstance(value, str):
        return number
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _rows(file: Path) -> Iterable[Mapping[str, Any]]:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise LogUnreadable(f"{file} is larger than {MOST_BYTES >> 20} MiB: split it")
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() == ".csv":
            return list(csv.DictReader(text.splitlines()))
        rows = json.loads(text) if text.lstrip().startswith("[") else _lines(text)
    except (OSError, ValueError, csv.Error, RecursionError) as error:
        raise LogUnreadable(f"{file} is no CSV, JSON list or JSON lines: {error}") from error
    return [row for row in rows if isinstance(row, dict)]


def _lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]
