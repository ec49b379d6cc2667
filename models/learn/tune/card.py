"""The model card of a tuned backbone, written from its record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.learn.card import ATTRIBUTION, UNKNOWN, table

HEAD = """---
library_name: transformers
pipeline_tag: image-classification
tags: [roadwork, streetvision]
---"""
HOW = {
    "frozen": "The backbone is as it was; a linear head was trained on its features",
    "lora": "The head and low-rank changes of the backbone were trained, and merged into its weights",
    "full": "Every layer was trained",
}
TEACHERS = {
    "kd": ", with a teacher's calibrated answers beside the labels",
    "vl2lite": ", with an image-and-text teacher beside the labels (VL2Lite)",
}


def write_card(folder: Path, record: Mapping[str, Any]) -> None:
    """Write `README.md` into the checkpoint's folder."""
    (folder / "README.md").write_text(render(record), encoding="utf-8")


def render(record: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    shipped = record["seeds"][0]
    teacher = record["teacher"]
    backbone, method = record["backbone"], record["method"]
    pinned = f" at {backbone['revision']}" if backbone["revision"] else ""
    ranked = f" (rank {method['rank']})" if method["how"] == "lora" else ""
    parts = [
        HEAD,
        "# Roadwork on street images",
        f"Labels `None`, `Roadwork`. Backbone: {backbone['path']}{pinned}, whose licence holds on. "
        f"{HOW[method['how']]}{ranked}{TEACHERS.get(teacher['how'], '')}. `calibration.json` was learned "
        "out of fold, at equal prevalence of both labels.",
        "## Results",
        _judged(shipped),
        "Out of fold on the training images, before calibration:",
        table(record["cross_fit"]["out_of_fold"]),
        "Intervals: 95 %, by sequence. Sizes of native challenges are dealt out blind.",
        f"## Training\n\n    {record['command']}",
        "## Data",
        "\n".join(f"* {source}: {ATTRIBUTION.get(source, UNKNOWN)}" for source in record["sources"]),
    ]
    return "\n\n".join(parts) + "\n"


def _judged(shipped: Mapping[str, Any]) -> str:
    if not shipped["val"]:
        return "There was no validation split."
    return f"On the validation split, as served (seed {shipped['seed']}):\n\n{table(shipped['val'])}"
