"""`python -m models.learn.zoom --data ../shared/data --folds W --out models/weights/zoom --work Z`

Every fold's network looks at parts of the challenges held out of its training; on those looks the reward head
is fitted, the ways to look closer are compared, and the member's answers out of fold are left in
`Z/crossfit.npz` for `models.learn.cascade`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.calibration import Calibration
from models.classifier import load_classifier
from models.learn.crossfit import CrossFit, calibrate, held_out, in_halves, row_weights
from models.learn.data import Example, read
from models.learn.fit import judge_with
from models.learn.judge import join
from models.learn.recipe import Recipe
from models.learn.zoom.card import write_card
from models.learn.zoom.head import by_fold, fit_reward
from models.learn.zoom.looks import Looks, load_looks, look
from models.learn.zoom.steps import adaptive, steps
from models.regions.tier import open_backbone
from models.weights import DEFAULT, ZOOM
from models.zoom.tier import SETTINGS, Settings

TIMED = 40
"""Looks that are timed on the served classifier."""


def main() -> None:
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    record = make(options)
    (options.out / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    write_card(options.out, record)
    say(f"written to {options.out}")


def make(options: argparse.Namespace) -> dict[str, Any]:
    """Look, fit, write; the record that becomes `training.json`."""
    started = time.monotonic()
    examples = read(options.data, "train")
    looks = gather(examples, options.folds, options.work)
    effort = adaptive(looks)
    said = by_fold(looks, effort).log_odds
    temperature, threshold = calibrate(said, looks.answers.roadwork, row_weights(looks.answers))
    settings = Settings(fit_reward(looks), effort, Calibration(temperature, threshold))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / SETTINGS).write_text(json.dumps(settings.to_json(), indent=2) + "\n", encoding="utf-8")
    CrossFit(looks.answers.moved(said), (), 0).save(options.work / "crossfit.npz")
    look_ms = timed(examples)
    found = steps(looks, look_ms)
    return {
        "command": "python -m models.learn.zoom --data DATA --folds FOLDS --work WORK",
        "rows": len(looks),
        "sequences": len(np.unique(looks.answers.sequences)),
        "look_ms": look_ms,
        "effort": asdict(effort),
        "steps": [each.to_json() for each in found],
        "wall_minutes": round((time.monotonic() - started) / 60, 1),
    }


def gather(examples: Sequence[Example], folds: Path, work: Path) -> Looks:
    """Every fold's looks, rows in the order of the classifier's own answers; kept in `work`."""
    found = []
    for number, held in enumerate(held_out(examples, Recipe.folds), start=1):
        path = work / f"looks-fold-{number}.npz"
        if not path.is_file():
            say(f"fold {number}: {len(held)} images")
            look(judge_with(open_backbone(folds / f"fold-{number}")), held).save(path)
        looks = load_looks(path)
        found.append(looks.pick(in_halves(looks.answers.sequences, held)))
    return Looks(np.concatenate([each.log_odds for each in found]), join([each.answers for each in found]))


def timed(examples: Sequence[Example]) -> float:
    """CPU milliseconds of this thread for one look, prepared and judged: the median of some."""
    tier = load_classifier(DEFAULT)
    images = [each.load() for each in examples[:: max(1, len(examples) // TIMED)]]
    taken = []
    for image in images:
        began = time.thread_time()
        tier.evidence([tier.prepare(image)])
        taken.append(1e3 * (time.thread_time() - began))
    return round(float(np.median(taken)), 2)


def say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.learn.zoom", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--folds", type=Path, required=True, help="--work folder of models.learn.train")
    parser.add_argument("--out", type=Path, default=ZOOM, help="folder for zoom.json and its card")
    parser.add_argument("--work", type=Path, required=True, help="looks and answers out of fold go here")
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
