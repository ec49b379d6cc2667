"""What was published and when, for whoever reminds of a card's age: a line of JSON for each upload."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from miner.publish.hub import WEIGHTS, Plan

NAME = "published.jsonl"


def note(data: Path, planned: Plan, commit: str) -> None:
    """Add an upload to the file in the data folder."""
    weights = [file.sha256 for file in planned.files if file.name.endswith(WEIGHTS)]
    told = {"repo": planned.repo, "commit": commit, "at": planned.card.submission_time, "weights": weights}
    data.mkdir(parents=True, exist_ok=True)
    with (data / NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(told) + "\n")


def uploaded(data: Path) -> Mapping[str, float]:
    """SHA-256 of weights -> seconds since 1970 of their last upload. A line that a crash cut short is
    skipped."""
    path, found = data / NAME, dict[str, float]()
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            told = json.loads(line)
            found |= dict.fromkeys(told["weights"], float(told["at"]))
        except (ValueError, KeyError, TypeError):
            continue
    return found
