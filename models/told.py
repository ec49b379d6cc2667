"""What a vision-language model tells of a scene in JSON, beside what detectors boxed: for people to read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast, get_args

from models.layout import Layout, Stage

KINDS = {
    "signs": "sign",
    "cones": "cone",
    "barriers": "barrier",
    "workers": "worker",
    "machines": "machine",
}
ASK = (
    "Answer with one JSON object and nothing else: the numbers of "
    f"{', '.join(KINDS)} that belong to roadwork, and stage, one of none, planned, active, ended. "
    'For example: {"signs": 1, "cones": 6, "barriers": 0, "workers": 0, "machines": 0, "stage": "active"}'
)
"""What to ask it."""
MOST = 1000
"""Nobody counts more things than this in a picture."""


@dataclass(frozen=True, slots=True)
class Told:
    """`counts` by kind as in `models.layout.HINTS`, 1 to `MOST`; `stage` None where it was not said."""

    counts: Mapping[str, int]
    stage: Stage | None = None


def read(text: str) -> Told | None:
    """The first JSON object in an answer, whatever stands around it; None without one that says anything.
    What is not a sound number or stage in it is left out."""
    found = _object(text)
    if found is None:
        return None
    counts = {name: found[word] for word, name in KINDS.items() if _is_count(found.get(word))}
    said = found.get("stage")
    stage = cast("Stage", said) if isinstance(said, str) and said in get_args(Stage) else None
    told = Told({name: count for name, count in counts.items() if count}, stage)
    return told if counts or stage else None


def with_words(seen: Layout, told: Told | None) -> Layout:
    """The layout with what only the model told. Boxes win over words, but for an end: things left standing
    look the same to a detector, unless somebody still works there."""
    if told is None:
        return seen
    names = sorted({*seen.counts, *told.counts})
    counts = {name: max(seen.counts.get(name, 0), told.counts.get(name, 0)) for name in names}
    at_work = seen.counts.get("worker") or seen.counts.get("machine")
    stage = seen.stage
    if told.stage is not None and (not seen.counts or (told.stage == "ended" and not at_work)):
        stage = told.stage
    return replace(seen, counts=counts, stage=stage)


def _object(text: str) -> dict[str, Any] | None:
    start = text.find("{")
    while start >= 0:
        try:
            found, _ = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
            continue
        return found if isinstance(found, dict) else None
    return None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST
