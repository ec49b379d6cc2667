"""The region member's card: written from `training.json`, so that its figures are those measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_card(folder: Path, record: Mapping[str, Any]) -> None:
    """Write `README.md` into the head's folder."""
    (folder / "README.md").write_text(render(record), encoding="utf-8")


def render(record: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    return (
        "\n\n".join((_head(record), _pair(record), _regimes(record), _tried(record), _limits(record))) + "\n"
    )


def _head(record: Mapping[str, Any]) -> str:
    variant, calibration = record["variant"], record["calibration"]
    return f"""# Where the works are: a dense head on the embedded classifier's backbone

Looks at a frame at about {record["side"]} x {record["side"]} pixels, shape kept, letterbox bars cut off, and
gives a chance of works for every 16 px cell; their log-sum-exp (sharpness {variant["sharpness"]}) is the
log-odds. Boxes are connected cells above one half. The backbone is the classifier's (digest
{record["backbone"]}), frozen; stored here is only the head, in half precision.

    {record["command"]}

Trained by multiple-instance learning on image labels, on cells that are known (streets without works, pasted
patches, rendered scenes), {variant["steps"]} batches of {variant["batch"]} out of {record["views"]} views,
{record["wall_minutes"]} minutes in the last call. Chosen and calibrated on what
{len(record["judged"])} of 3 folds answered (fold {", ".join(map(str, record["judged"]))}; heads of
{", ".join(map(str, record["fold_views"]))} views). Calibration: temperature {calibration["temperature"]},
threshold {calibration["threshold"]}. Data, licences, risks: those of the classifier's card."""


def _pair(record: Mapping[str, Any]) -> str:
    weights = record["weights"]
    parts = [
        f"""## Beside the classifier

"Both" weighs the two log-odds by logistic regression on out-of-fold answers:
{weights["classifier"]:.2f} times the classifier's, {weights["regions"]:.2f} times this one's. It is what this
member is worth as further evidence. Intervals are by sequence. Out of fold, "both" is fitted to the rows it
is judged on (three numbers); the validation split chose nothing."""
    ]
    for name, title in (("out_of_fold", "out of fold, training split"), ("val", "validation split")):
        rows = [f"| {title} | balanced MCC [95 %] | AUC | log loss |", "|---|---|---|---|"]
        for member, line in record[name].items():
            low, high = line["mcc_95"]
            figures = f"{line['mcc']:.3f} [{low:.3f} {high:.3f}] | {line['auc']:.3f} | {line['log_loss']:.3f}"
            rows.append(f"| {member} | {figures} |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def _regimes(record: Mapping[str, Any]) -> str:
    rows = ["| source | regime | images | MCC | TPR | TNR | AUC |", "|---|---|---|---|---|---|---|"]
    for line in record["val_lines"]:
        cells = ("-" if line[key] is None else f"{line[key]:.3f}" for key in ("mcc", "tpr", "tnr", "auc"))
        rows.append(f"| {line['source']} | {line['regime']} | {line['count']} | " + " | ".join(cells) + " |")
    return "## This member alone, validation split\n\n" + "\n".join(rows)


def _tried(record: Mapping[str, Any]) -> str:
    rows = ["| side | sharpness | steps | log loss | MCC | AUC |", "|---|---|---|---|---|---|"]
    for line in record["tried"]:
        figures = f"{line['log_loss']:.3f} | {line['mcc']:.3f} | {line['auc']:.3f}"
        rows.append(f"| {line['side']} | {line['sharpness']} | {line['steps']} | {figures} |")
    return """## What was tried, out of fold

0 steps: the classifier's own head asked about every cell (a class activation map). The row with the least log
loss was taken. A backbone tuned for this resolution was not tried: its cost was beyond the budget.

""" + "\n".join(rows)


def _limits(record: Mapping[str, Any]) -> str:
    return """## Limits

- It shares its backbone with the classifier and was trained on the same images: the two err together more
  often than strangers would.
- The names of classes (cone, drum, barrier, sign, machine, worker) were learned from cartoons, and cones also
  from one source's image labels. On photographs a box's place is a hint and its name a guess.
- A box is as coarse as its cells; things that touch become one box; what the bonnet of the camera's own car
  hides counts as seen in the rendered scenes.
- The collection's images are at most 280 px on their shorter side: nothing finer was ever learned."""
