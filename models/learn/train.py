"""`python -m models.learn.train --data ../shared/data --init ../shared/weights --out DIR`: the embedded
default. Interrupted, the same command goes on where it stopped.

Cross-fitting on the training split finds the number of steps, the temperature and the threshold; then one
network per seed is trained on the whole split and reported on the validation split, which decides nothing.
The first seed's network is written to `--out`, whatever the others reach.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from models.learn.card import write_card
from models.learn.compose import never_judged, write_composed
from models.learn.crossfit import CrossFit, calibrate, calibrated, cross_fit, load_cross_fit, row_weights
from models.learn.data import DataError, Example, read
from models.learn.evaluate import evaluate, lines_to_json
from models.learn.fit import Say, fit, precision
from models.learn.judge import tabulate
from models.learn.loop import Keep
from models.learn.metrics import report
from models.learn.network import save, write_calibration
from models.learn.recipe import Recipe, shared
from models.learn.shortcuts import probe
from models.learn.snapshot import SnapshotError, claim
from models.scenes import write_scenes

TEST_SCENES = 200


def main() -> None:
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    recipe = replace(Recipe(), scenes=options.scenes)
    if options.steps:
        recipe = replace(recipe, steps=options.steps)
    unfinished = options.out.with_name(f"{options.out.name}.unfinished")
    asked = (options.data, options.init, options.seed, options.without, options.composed)
    try:
        if not options.work:
            claim(unfinished, f"{asked} {recipe}")
        record = train(options, recipe, options.work or unfinished, _say)
    except (DataError, SnapshotError) as error:
        sys.exit(str(error))
    (options.out / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    write_card(options.out, record)
    if not options.work:
        shutil.rmtree(unfinished, ignore_errors=True)
    _say(f"written to {options.out}")


def train(options: argparse.Namespace, recipe: Recipe, work: Path, say: Say) -> dict[str, Any]:
    """Run everything; the record that becomes `training.json`. What is in `work` is not done again, and what
    was interrupted goes on from there."""
    started = time.monotonic()
    keep = Keep(work / "running", logs=options.logs)
    examples = [each for each in read(options.data, "train") if each.source not in options.without]
    test = [each for each in read(options.data, "val") if each.source not in options.without]
    recipe = shared(recipe, {each.source for each in examples})
    scenes = rendered(work / "scenes", recipe.scenes, recipe.scene_seed) if recipe.scenes else []
    unseen = rendered(work / "unseen", TEST_SCENES, recipe.scene_seed + 1)
    scenes += write_composed(work / "composed", never_judged(examples), options.composed, options.seed)
    crossed = _kept(
        work / "crossfit.npz",
        lambda: cross_fit(examples, scenes, options.init, recipe, options.seed, say, keep=work, running=keep),
    )
    calibration = settle(crossed)
    say(f"train for {crossed.step} steps; {calibration}")
    seeds = []
    for seed in range(options.seed, options.seed + options.seeds):
        folder = work / f"seed-{seed}-steps-{crossed.step}"
        if not (folder / "model.safetensors").is_file():
            running = keep.below(f"seed-{seed}")
            run = fit(
                [*examples, *scenes], options.init, recipe, seed, last=crossed.step, say=say, keep=running
            )
            save(run.network, folder)
        write_calibration(folder, calibration)
        seeds.append({"seed": seed, **examine(folder, examples, test, unseen)})
        say(f"seed {seed}: val MCC {seeds[-1]['val'][0]['mcc']:.3f}")
    shutil.copytree(work / f"seed-{options.seed}-steps-{crossed.step}", options.out, dirs_exist_ok=True)
    return {
        "command": "python -m models.learn.train " + shlex.join(sys.argv[1:]),
        "recipe": asdict(recipe),
        "without": options.without,
        "cross_fit": _crossed(crossed, calibration),
        "calibration": calibration,
        "seeds": seeds,
        "shipped_seed": options.seed,
        "sources": _sources(examples, test),
        "precision": precision(),
        "versions": _versions(),
        "wall_minutes": round((time.monotonic() - started) / 60, 1),
    }


def rendered(folder: Path, count: int, seed: int) -> list[Example]:
    """Scenes of our own, as examples of the source "scenes"."""
    write_scenes(folder, count, seed)
    return [replace(example, source="scenes") for example in read(folder)]


def _kept(path: Path, make: Callable[[], CrossFit]) -> CrossFit:
    """From `path` if it is there, else made and written to it."""
    if not path.is_file():
        make().save(path)
    return load_cross_fit(path)


def settle(crossed: CrossFit) -> dict[str, float]:
    """Temperature and threshold from the out-of-fold answers."""
    answers = crossed.answers
    temperature, threshold = calibrate(answers.scores, answers.roadwork, row_weights(answers))
    return {"temperature": round(temperature, 4), "threshold": round(threshold, 4)}


def examine(
    folder: Path, examples: Sequence[Example], test: Sequence[Example], unseen: Sequence[Example]
) -> dict[str, Any]:
    """The checkpoint as served: on the test split, on rendered scenes it has not seen, and by the probes."""
    judge, answers = evaluate(folder, test)
    _, drawn = evaluate(folder, unseen)
    return {
        "val": lines_to_json(tabulate(answers)),
        "scenes": report(drawn.scores, drawn.roadwork).to_json(),
        "shortcuts": asdict(probe(judge, examples, test, answers)),
    }


def _crossed(crossed: CrossFit, calibration: dict[str, float]) -> dict[str, Any]:
    """Figures out of fold, with the calibration that these very answers gave (two numbers of many)."""
    moved = calibrated(crossed.answers, **calibration)
    return {"steps": crossed.steps, "step": crossed.step, "out_of_fold": lines_to_json(tabulate(moved))}


def _sources(examples: Sequence[Example], test: Sequence[Example]) -> dict[str, list[int]]:
    """Source -> images in training with works and without, in the test with works and without."""
    counts: dict[str, list[int]] = {}
    for column, part in ((0, examples), (2, test)):
        for example in part:
            counts.setdefault(example.source, [0] * 4)[column + (not example.roadwork)] += 1
    return counts


def _versions() -> dict[str, str]:
    packages = ("torch", "transformers", "numpy", "pillow")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.learn.train",
        description=__doc__,
        epilog="`streetvision-miner train` also takes --into FOLDER (into the registry there), and --recipe "
        "frozen, lora or full for any other backbone: see `train --recipe lora --help`.",
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with manifest.csv, splits train and val"
    )
    parser.add_argument("--init", type=Path, help="ImageNet starting point; random without it")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint and its card")
    parser.add_argument("--seed", type=int, default=0, help="first seed, and the one that is shipped")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds to train and report")
    parser.add_argument("--steps", type=int, help="length of the schedule in batches")
    parser.add_argument("--scenes", type=int, default=Recipe.scenes, help="rendered scenes that take part")
    parser.add_argument(
        "--composed", type=int, default=0, help="pictures that take part, composed of streets and drawn works"
    )
    parser.add_argument("--without", nargs="*", default=[], help="sources to leave out")
    parser.add_argument(
        "--work", type=Path, help="keep intermediate results here (else beside OUT until it is done)"
    )
    parser.add_argument("--logs", type=Path, help="folder for TensorBoard's event files (extra train)")
    parser.add_argument("--threads", type=int, default=2)
    return parser


if __name__ == "__main__":
    main()
