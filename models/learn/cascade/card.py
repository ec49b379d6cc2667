"""The cascade's card, written from `training.json`, so that its figures cannot drift from those measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_card(folder: Path, record: Mapping[str, Any]) -> None:
    """Write `README.md` into the cascade's folder."""
    (folder / "README.md").write_text(render(record), encoding="utf-8")


def render(record: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    parts = (
        _head(record),
        _fusion(record),
        _early(record),
        _certificate(record),
        _limits(),
        _made(record),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(record: Mapping[str, Any]) -> str:
    members = " -> ".join(record["members"])
    return f"""# The embedded cascade: {members}

The default configuration of streetvision-miner. `cascade.json` names the members, cheap to dear, and the
files beside it. Everything here was chosen on what the members said about the training split's sequences
while those were held out of their training ({record["rows"]} challenges of {record["sequences"]} sequences);
the validation split decided nothing. `python bench/cascade.py` measures the whole on it."""


def _fusion(record: Mapping[str, Any]) -> str:
    chosen = record["fusion"]
    return f"""## Fusion: {chosen["kind"]}

{chosen["why"][0].upper() + chosen["why"][1:]}. Out of fold, everybody having spoken, at equal
prevalence, intervals of 95 % by sequence:

{_figures(record["out_of_fold"])}

The other kinds are in `rivals/`: name one as `fusion` in a `cascade.json` of your own to use it."""


def _figures(lines: Sequence[Mapping[str, Any]]) -> str:
    rows = ["| | MCC [95 %] | reward [95 %] |", "|---|---|---|"]
    for line in lines:
        cells = (_ranged(line[name], line[f"{name}_95"]) for name in ("mcc", "reward"))
        rows.append(f"| {line['name']} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _ranged(value: float, interval: Sequence[float]) -> str:
    return f"{value:.3f} [{interval[0]:.3f} {interval[1]:.3f}]"


def _early(record: Mapping[str, Any]) -> str:
    found, whole = record["margin"], sum(record["cost_ms"].values())
    costs = ", ".join(f"{name} {cost:.1f}" for name, cost in record["cost_ms"].items())
    gap, (low, high) = found["mcc_over_all"], found["mcc_over_all_95"]
    return f"""## Leaving early

One image costs, in CPU milliseconds of one thread where this was made: {costs}.

The simplest deferral goes on only while the fused log-odds lies within a band around 0. Out of fold it was
set as wide as {found["budget_ms"]:.1f} ms allow (a third of what everybody costs, or the first member and a
tenth of the others where that is more): {found["band"]:.2f}, at {found["cost_ms"]:.1f} of {whole:.1f} ms.
MCC against asking everybody, out of fold: {gap:+.3f} [{low:+.3f} {high:+.3f}]. It is not certified, so by
default everybody is asked while there is time; `"deferral": {{"band": {found["band"]:.2f}}}` in a
`cascade.json` switches it on.

{_deferral(record["deferral"])}"""


def _deferral(tried: Sequence[Mapping[str, Any]]) -> str:
    """Learned rules beside the band."""
    rows = "\n".join(
        f"| {each['kind']} | {each['cost_ms']:.1f} | {_signed(each['over_band'], each['over_band_95'])} |"
        for each in tried
    )
    beats = any(each["over_band_95"][0] > 0 for each in tried)
    said = "one beats it" if beats else "none beats it beyond the interval, so the band is the rule to use"
    return f"""Learned deferral (`models/deferral.py`) asks whoever is foretold to gain most per millisecond,
while that is above a price. At the band's cost, out of fold, {said}:

| gain model | ms | MCC over the band [95 %] |
|---|---|---|
{rows}

The better one is in `deferral.json`: `"deferral": {{"file": "deferral.json"}}` switches it on."""


def _signed(value: float, interval: Sequence[float]) -> str:
    return f"{value:+.3f} [{interval[0]:+.3f} {interval[1]:+.3f}]"


def _certificate(record: Mapping[str, Any]) -> str:
    return f"""## Certificate

{record["certificate"][0].upper() + record["certificate"][1:]}."""


def _limits() -> str:
    return """## Limits

- Few sequences: intervals are wide, and by so few groups optimistic. Nothing here tells apart what differs by
  a few hundredths.
- Out of fold, each member is a network of its own per fold, not the one that is served: what was chosen on
  their answers is a guess for the served ones, a good one as long as both err alike.
- All members look through the embedded backbone, so they err together more than members of different origin
  would."""


def _made(record: Mapping[str, Any]) -> str:
    return f"""## Made by

    {record["command"]}

{record["wall_minutes"]} minutes. Served versions: {", ".join(record["versions"])}."""
