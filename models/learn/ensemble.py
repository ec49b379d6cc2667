"""`python -m models.learn.ensemble --data ../shared/data --init ../shared/weights --folds W --out DIR`: the
classifier's recipe from other random heads, as one more member of the cascade.

`--folds` is the work folder of `models.learn.train`. On each of its folds a network of each seed is trained
for the steps that were settled on there; the mean of what they say of what was held out goes to
W/ensemble.npz, for `models.learn.cascade`, and calibrates. The networks trained on everything are those of W
where it has them. Interrupted, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.classifier import load_classifier
from models.ensemble import load_ensemble
from models.learn.card import table
from models.learn.contestant import served
from models.learn.crossfit import CrossFit, calibrated, in_halves, load_cross_fit, splits
from models.learn.data import Example, read
from models.learn.evaluate import lines_to_json
from models.learn.fit import Say, fit
from models.learn.judge import ONCE, Judge, ask, join, tabulate
from models.learn.loop import Keep
from models.learn.network import save, write_calibration
from models.learn.recipe import Recipe
from models.learn.train import rendered, settle
from models.weights import ENSEMBLE

FILE = "ensemble.npz"


def main() -> None:
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    started = time.monotonic()
    record = make(options, Recipe(), _say)
    record["command"] = (
        "python -m models.learn.ensemble --data DATA --init INIT --folds WORK --out DIR --seeds "
        + " ".join(map(str, options.seeds))
    )
    record["wall_minutes"] = round((time.monotonic() - started) / 60, 1)
    (options.out / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    (options.out / "README.md").write_text(render(record), encoding="utf-8")
    _say(f"written to {options.out}")


def make(options: argparse.Namespace, recipe: Recipe, say: Say) -> dict[str, Any]:
    """Train what is missing, write the checkpoints; the record that becomes `training.json`."""
    work: Path = options.folds
    examples = read(options.data, "train")
    scenes = rendered(work / "scenes", recipe.scenes, recipe.scene_seed)
    step = load_cross_fit(work / "crossfit.npz").step

    def trained(folder: Path, seed: int, training: Sequence[Example]) -> Path:
        if not (folder / "model.safetensors").is_file():
            running = Keep(work / "running" / folder.name)
            run = fit([*training, *scenes], options.init, recipe, seed, last=step, say=say, keep=running)
            save(run.network, folder)
        return folder

    crossed = cross_fit(examples, recipe.folds, step, options.seeds, work, trained, say)
    crossed.save(work / FILE)
    calibration = settle(crossed)
    for seed in options.seeds:
        whole = trained(work / f"seed-{seed}-steps-{step}", seed, examples)
        shutil.copytree(
            whole,
            options.out / f"seed-{seed}",
            ignore=shutil.ignore_patterns("calibration.json"),
            dirs_exist_ok=True,
        )
    write_calibration(options.out, calibration)
    answers = ask(served(load_ensemble(options.out)), read(options.data, "val"))
    return {
        "seeds": options.seeds,
        "step": step,
        "recipe": asdict(recipe),
        "calibration": calibration,
        "val": lines_to_json(tabulate(answers)),
        "out_of_fold": lines_to_json(tabulate(calibrated(crossed.answers, **calibration))),
    }


def cross_fit(
    examples: Sequence[Example],
    count: int,
    step: int,
    seeds: Sequence[int],
    work: Path,
    trained: Callable[[Path, int, Sequence[Example]], Path],
    say: Say,
) -> CrossFit:
    """What the mean of the seeds' networks says of every held-out sequence, in the order of `judge_folds`."""
    parts = []
    for number, training, held in splits(examples, count):
        folders = [trained(work / f"fold-{number}-seed-{seed}", seed, training) for seed in seeds]
        say(f"fold {number} of {count}: {len(held)} held out")
        answers = ask(mean_of([_judge(folder) for folder in folders]), held, ONCE)
        parts.append(answers.pick(in_halves(answers.sequences, held)))
    return CrossFit(join(parts), (step,), step)


def mean_of(judges: Sequence[Judge]) -> Judge:
    """Their mean log-odds."""
    return lambda images: np.mean([judge(images) for judge in judges], axis=0)


def _judge(folder: Path) -> Judge:
    """A checkpoint's raw log-odds."""
    return served(load_classifier(folder, temperature=1.0, threshold=0.5))


def render(record: dict[str, Any]) -> str:
    """The card as Markdown."""
    seeds = " and ".join(map(str, record["seeds"]))
    return f"""# Roadwork on street images: {len(record["seeds"])} more networks of the classifier's recipe

Seeds {seeds} of the recipe of `../roadwork-mobilenetv2` (its card has data, sources, licences and limits, and
they are the same here), {record["step"]} steps each; what counts is the mean of their log-odds. Networks that
differ by chance alone err less together.

    {record["command"]}

{record["wall_minutes"]} minutes in the last call. Calibration, from the answers out of fold: temperature
{record["calibration"]["temperature"]}, threshold {record["calibration"]["threshold"]}.

## The mean of them, on the validation split (it chose nothing)

{table(record["val"])}

## Out of fold, on the training split

{table(record["out_of_fold"])}
"""


def _say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.learn.ensemble",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--init", type=Path, required=True, help="the ImageNet checkpoint to begin with")
    parser.add_argument("--folds", type=Path, required=True, help="--work folder of models.learn.train")
    parser.add_argument(
        "--out", type=Path, default=ENSEMBLE, help="folder for the checkpoints and their card"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--threads", type=int, default=2)
    return parser


if __name__ == "__main__":
    main()
