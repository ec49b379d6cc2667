"""`python -m models.learn.regions --data ../shared/data --folds DIR --backbone DIR --out DIR --work DIR`: the
region head.

`--folds` is the work folder of `models.learn.train`: on each fold's network a head is trained on that fold's
training images and asked about what it held out. Those answers choose resolution, pooling and length, and
calibrate; then one head is trained on the whole training split for the shipped classifier, and reported on
the validation split, which decides nothing.
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
from safetensors.torch import save_file

from models.checkpoint import CALIBRATION
from models.classifier import load_classifier
from models.learn.contestant import served
from models.learn.crossfit import (
    CrossFit,
    calibrate,
    calibrated,
    in_halves,
    load_cross_fit,
    log_loss,
    row_weights,
)
from models.learn.data import Example, grouped_folds, read, two_sided
from models.learn.evaluate import lines_to_json
from models.learn.fit import make_stream
from models.learn.judge import ONCE, Answers, ask, join, tabulate
from models.learn.network import write_calibration
from models.learn.recipe import Recipe
from models.learn.region_card import write_card
from models.learn.region_fit import (
    Mapped,
    Variant,
    ahead,
    map_challenges,
    map_lessons,
    train_head,
)
from models.learn.region_pair import compare, same_challenges, weigh
from models.learn.region_views import make_lesson
from models.regions.network import Backbone, Head, start_from
from models.regions.tier import SETTINGS, WEIGHTS, Settings, digest, load_regions, open_backbone

VARIANTS = (
    Variant(1.0, 0),
    Variant(1.0, 100),
    Variant(1.0, 400),
    Variant(4.0, 100),
    Variant(4.0, 400),
)
"""What out-of-fold answers choose from; 0 steps: the classifier's own head, asked cell by cell."""

SCENE_SEED = 2_000_000_000
"""Scenes drawn for lessons start here: none of them is in the classifier's folders."""
CHANCE = 0.5


def main() -> None:
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    started = time.monotonic()
    examples = read(options.data, "train")
    tried = [
        (side, variant, answers)
        for side in options.sides
        for variant, answers in zip(VARIANTS, cross_fit(options, examples, side), strict=True)
    ]
    side, variant, answers = min(tried, key=lambda each: _loss(each[2]))
    temperature, threshold = calibrate(answers.scores, answers.roadwork, row_weights(answers))
    CrossFit(answers, (variant.steps,), variant.steps).save(options.work / "crossfit.npz")
    say(f"side {side}, {variant}; temperature {temperature:.3f}, threshold {threshold:.3f}")
    finish(options, examples, side, variant)
    applied = {"temperature": round(temperature, 4), "threshold": round(threshold, 4)}
    write_calibration(options.out, applied)
    record = {
        "command": _command(options),
        "side": side,
        "variant": asdict(variant),
        "calibration": applied,
        "views": options.views,
        "judged": options.judged,
        "fold_views": fold_views(options, side),
        "tried": [_tried(*each) for each in tried],
        **examine(options, answers, applied),
        "wall_minutes": round((time.monotonic() - started) / 60, 1),
    }
    (options.out / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    write_card(options.out, record)
    say(f"written to {options.out}")


def _command(options: argparse.Namespace) -> str:
    """As it was called, without the folders of the machine it ran on."""
    sides = " ".join(map(str, options.sides))
    judged = " ".join(map(str, options.judged))
    numbers = f"--sides {sides} --views {options.views} --judged {judged} --seed {options.seed}"
    return f"python -m models.learn.regions --data DATA --folds WORK --backbone DIR --out DIR {numbers}"


def say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


def cross_fit(options: argparse.Namespace, examples: Sequence[Example], side: int) -> list[Answers]:
    """Out-of-fold answers of every variant, rows in the order of the classifier's own."""
    open_sources = two_sided(examples)
    movable = [example for example in examples if example.source in open_sources]
    fixed = [example for example in examples if example.source not in open_sources]
    folds = grouped_folds(movable, Recipe.folds, seed=0)
    parts = []
    for index, held in enumerate(folds):
        if index + 1 not in options.judged:
            continue
        kept = options.work / f"side-{side}-fold-{index + 1}.npz"
        if not kept.is_file():
            rest = [example for other in folds if other is not held for example in other]
            network = options.folds / f"fold-{index + 1}"
            _answer_fold(kept, network, [*rest, *fixed], held, side, options)
        parts.append([each.pick(in_halves(each.sequences, held)) for each in _load(kept)])
    return [join(column) for column in zip(*parts, strict=True)]


def _answer_fold(
    kept: Path, folder: Path, rest: Sequence[Example], held: Sequence[Example], side: int, options: Any
) -> None:
    """Train every variant on `rest` and write what each says about `held` to `kept`."""
    network = open_backbone(folder)
    backbone = Backbone(network)
    data = lessons(backbone, rest, side, options)
    say(f"{folder.name}, side {side}: lessons mapped")
    challenges = map_challenges(backbone, held, ONCE, side)
    rows = []
    for variant in VARIANTS:
        head = Head(*backbone.channels)
        start_from(head, network)
        train_head(head, data, variant, options.seed)
        rows.append(challenges.scores(head, variant.sharpness))
        say(f"{folder.name}, {variant}: MCC {_mcc(challenges.answers.moved(rows[-1])):.3f}")
    kept.parent.mkdir(parents=True, exist_ok=True)
    columns = {name: value for name, value in asdict(challenges.answers).items() if name != "scores"}
    np.savez(kept, scores=np.stack(rows), views=np.array(options.views), **columns)


def lessons(
    backbone: Backbone, examples: Sequence[Example], side: int, options: argparse.Namespace
) -> list[Mapped]:
    """`options.views` lessons of the frozen backbone's maps."""
    stream = make_stream(examples, Recipe(), options.seed)
    made = ahead(lambda number: make_lesson(stream, side, SCENE_SEED, number), options.views)
    return map_lessons(backbone, made)


def _load(kept: Path) -> list[Answers]:
    with np.load(kept) as file:
        columns = [file[name] for name in ("roadwork", "sources", "sequences", "regimes")]
        return [Answers(scores, *columns) for scores in file["scores"]]


def fold_views(options: argparse.Namespace, side: int) -> list[int]:
    """How many lessons each fold's head was trained on: kept folds may come from an earlier call."""
    views = []
    for fold in options.judged:
        with np.load(options.work / f"side-{side}-fold-{fold}.npz") as file:
            views.append(int(file["views"]))
    return views


def _mcc(answers: Answers) -> float:
    return tabulate(answers, draws=2)[0].report.mcc


def _loss(answers: Answers) -> float:
    """Log loss after calibration by the same answers (two numbers of many)."""
    return log_loss(calibrated(answers, *calibrate(answers.scores, answers.roadwork, row_weights(answers))))


def _tried(side: int, variant: Variant, answers: Answers) -> dict[str, object]:
    moved = calibrated(answers, *calibrate(answers.scores, answers.roadwork, row_weights(answers)))
    line = tabulate(moved)[0]
    return {
        "side": side,
        **asdict(variant),
        "log_loss": log_loss(moved),
        "mcc": line.report.mcc,
        "mcc_95": line.interval,
        "auc": line.report.auc,
    }


def finish(options: argparse.Namespace, examples: Sequence[Example], side: int, variant: Variant) -> None:
    """Train the head on all examples for the shipped classifier and write it."""
    network = open_backbone(options.backbone)
    backbone = Backbone(network)
    head = Head(*backbone.channels)
    start_from(head, network)
    train_head(head, lessons(backbone, examples, side, options), variant, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: value.half().contiguous() for name, value in head.state_dict().items()}, options.out / WEIGHTS
    )
    settings = Settings(side, variant.sharpness, CHANCE, digest(options.backbone))
    (options.out / SETTINGS).write_text(json.dumps(asdict(settings), indent=2) + "\n", encoding="utf-8")


def examine(options: argparse.Namespace, answers: Answers, applied: dict[str, float]) -> dict[str, Any]:
    """The member as served, alone and beside the classifier: out of fold and on the validation split."""
    test = read(options.data, "val")
    tier = load_regions(options.out, backbone=options.backbone)
    regions = ask(served(tier), test, ONCE)
    classifier = ask(served(load_classifier(options.backbone)), test, ONCE)
    own = load_cross_fit(options.folds / "crossfit.npz").answers
    own = own.pick(np.isin(own.sequences, answers.sequences))
    before = json.loads((options.backbone / CALIBRATION).read_text(encoding="utf-8"))
    out_of_fold = (
        calibrated(own, before["temperature"], before["threshold"]),
        calibrated(answers, applied["temperature"], applied["threshold"]),
    )
    assert same_challenges(*out_of_fold), "rows of the two cross-fits differ"
    weights = weigh(out_of_fold)
    return {
        "weights": asdict(weights),
        "out_of_fold": compare(out_of_fold, weights),
        "val": compare((classifier, regions), weights),
        "val_lines": lines_to_json(tabulate(regions)),
        "backbone": tier.settings.backbone,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.learn.regions", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--folds", type=Path, required=True, help="--work folder of models.learn.train")
    parser.add_argument("--backbone", type=Path, required=True, help="the shipped classifier")
    parser.add_argument("--out", type=Path, required=True, help="folder for the head and its card")
    parser.add_argument("--work", type=Path, required=True, help="out-of-fold answers are left here")
    parser.add_argument("--sides", type=int, nargs="+", default=[320], help="resolutions to choose from")
    parser.add_argument("--views", type=int, default=1400, help="lessons to train on")
    parser.add_argument(
        "--judged", type=int, nargs="+", default=[1, 2, 3], help="folds whose answers choose and calibrate"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
