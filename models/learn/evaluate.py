"""`python -m models.learn.evaluate --model DIR --data DIR`: how a checkpoint does, as it is served.

The model is loaded by `models.classifier.load_classifier`, calibration included, and asked over real JPEG
bytes in every input regime; intervals are bootstrapped over whole sequences.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from models.classifier import load_classifier
from models.core import Tier
from models.learn.data import Example, read
from models.learn.judge import Answers, Judge, Line, ask, format_table, tabulate
from models.learn.metrics import Floats
from models.learn.shortcuts import Probes, probe
from models.weights import DEFAULT


def served(tier: Tier) -> Judge:
    """The tier's calibrated log-odds."""

    def judge(images: Sequence[Image.Image]) -> Floats:
        evidence = tier.evidence([tier.prepare(image) for image in images])
        return np.array([each.log_odds for each in evidence])

    return judge


def evaluate(model: Path, examples: Sequence[Example]) -> tuple[Judge, Answers]:
    """What the checkpoint in `model` says about every example in every regime."""
    judge = served(load_classifier(model))
    return judge, ask(judge, examples)


def lines_to_json(lines: Sequence[Line]) -> list[dict[str, object]]:
    return [
        {
            "source": line.source,
            "regime": line.regime,
            **line.report.to_json(),
            "mcc_95": _pair(line.interval),
        }
        for line in lines
    ]


def _pair(interval: tuple[float, float]) -> list[float] | None:
    return None if interval[0] != interval[0] else list(interval)


def describe(probes: Probes) -> str:
    named = [f"{source} {mcc:.3f}" for source, mcc in probes.within.items()]
    within = ", ".join(named) or "no source has both labels"
    return (
        f"Shortcuts: image size alone reaches MCC {probes.size_mcc:.2f} here; a wide frame instead of a "
        f"square one moves streets without works by {probes.shape_shift:+.2f} (log-odds); MCC inside one "
        f"source: {within}."
    )


def main() -> None:
    """Print the table; write it as JSON with `--json`."""
    options = _parser().parse_args()
    test = read(options.data, options.split or None)
    judge, answers = evaluate(options.model, test)
    lines = tabulate(answers)
    print(format_table(lines))
    probes = probe(judge, read(options.data, "train"), test, answers) if options.split == "val" else None
    if probes:
        print(describe(probes))
    if options.json:
        content = {"lines": lines_to_json(lines), "shortcuts": asdict(probes) if probes else None}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.learn.evaluate", description=__doc__)
    parser.add_argument("--model", type=Path, default=DEFAULT, help="a checkpoint's folder")
    parser.add_argument("--data", type=Path, required=True, help="labelled images; see models.learn.data")
    parser.add_argument("--split", default="val", help="split of the manifest; empty for all images")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser


if __name__ == "__main__":
    main()
