"""The card of a closer look, written from `training.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_card(folder: Path, record: Mapping[str, Any]) -> None:
    """Write `README.md` into the member's folder."""
    (folder / "README.md").write_text(render(record), encoding="utf-8")


def render(record: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    effort, gains = record["effort"], [each for each in record["steps"] if each["verdict"] == "gains"]
    named = ", ".join(f"{each['name']} ({each['where']})" for each in gains)
    said = f"Beyond the interval gain: {named}." if gains else "None gains beyond the interval: it is off."
    return f"""# A closer look: the classifier on parts of the frame

`zoom.json` says how far to look and holds the reward head, six numbers: the chance that a look is right. At
most {effort["most"]} looks in {effort["depth"]} rounds, the second into the part that is most like roadwork;
none once a look is trusted to {effort["sure"]:.0%}. Where members before it saw something, the first round is
about their boxes. It is the member of kind `zoom`: a `cascade.json` can name it behind the others.

## What it adds

Out of fold on {record["rows"]} challenges of {record["sequences"]} sequences, log-odds added to the
classifier's, at equal prevalence; intervals of 95 % by sequence. A look takes {record["look_ms"]:.1f} ms of
one CPU thread. "within" is where the classifier's log-odds is that near to 0. {said}

| step | taken | share | ms more | gain in MCC [95 %] | points per ms | |
|---|---|---|---|---|---|---|
{chr(10).join(_line(each) for each in record["steps"])}

## Limits

- The collection's frames are small (short side at most 280 px): a part of one is enlarged, and shows nothing
  that the whole did not. Frames of full size may gain more; they were not measured.
- Guidance by boxes is not in these figures: there are no region answers per fold to guide by.

## Made by

    {record["command"]}

{record["wall_minutes"]} minutes.
"""


def _line(step: Mapping[str, Any]) -> str:
    low, high = step["interval"]
    cells = (
        *(step["name"], step["where"], f"{step['share']:.0%}", f"{step['cost_ms']:.1f}"),
        *(f"{step['gain']:+.3f} [{low:+.3f} {high:+.3f}]", f"{step['points_per_ms']:+.4f}", step["verdict"]),
    )
    return "| " + " | ".join(cells) + " |"
