"""`python -m models.learn.small_vlm --data ../shared/data --folds DIR --out DIR`: the small VLM.

`--folds` holds what `models.learn.train --work` left there: the backbones of the three folds. On these the
decoder is cross-fitted, which gives the number of steps, temperature and threshold; then it is trained on the
shipped backbone with the whole training split, and reported on the validation split, which decides nothing.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from models.calibration import Calibration
from models.learn import recipe as classifier
from models.learn.crossfit import CrossFit, Record, judge_folds, load_cross_fit
from models.learn.data import Example, read
from models.learn.evaluate import lines_to_json
from models.learn.fit import make_stream
from models.learn.judge import Answers, Judge, ask, tabulate
from models.learn.metrics import Floats
from models.learn.network import write_calibration
from models.learn.regimes import SIDE
from models.learn.small_vlm.fit import Recipe, fit, see
from models.learn.small_vlm.report import reasons, six_views, write_card
from models.learn.small_vlm.samples import View, photographed, rendered
from models.learn.train import settle
from models.vlm.small import load_small_vlm
from models.vlm.small.network import Shape, SmallNetwork
from models.vlm.small.tier import CONFIG, WEIGHTS, SmallVLM, assemble, digest
from models.weights import DEFAULT, SMALL_VLM

RAW = Calibration()


def main() -> None:
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    record = train(options, Recipe(), Shape())
    (options.out / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    write_card(options.out, record)
    say(f"written to {options.out}")


def train(options: argparse.Namespace, recipe: Recipe, shape: Shape) -> dict[str, Any]:
    """Everything; the record that becomes `training.json`."""
    started = time.monotonic()
    examples, test = read(options.data, "train"), read(options.data, "val")
    crossed = _crossed(options, examples, recipe, shape)
    calibration = settle(crossed)
    say(f"train for {crossed.step} steps; {calibration}")
    network = _on(options.backbone, examples, recipe, shape, options.seed, last=crossed.step)
    save(network, options.out, options.backbone, calibration)
    tier = load_small_vlm(options.out, backbone=options.backbone, device="cpu")
    answers = ask(judge_with(tier), test)
    return {
        "command": "python -m models.learn.small_vlm " + shlex.join(sys.argv[1:]),
        "recipe": asdict(recipe),
        "shape": shape.to_json(),
        "parameters": sum(each.numel() for each in network.parameters()),
        "step": crossed.step,
        "calibration": calibration,
        "out_of_fold": lines_to_json(tabulate(_moved(crossed.answers, Calibration(**calibration)))),
        "val": lines_to_json(tabulate(answers)),
        "six_views": six_views(tier, test),
        "reasons": reasons(tier),
        "wall_minutes": round((time.monotonic() - started) / 60, 1),
    }


def _crossed(
    options: argparse.Namespace, examples: Sequence[Example], recipe: Recipe, shape: Shape
) -> CrossFit:
    """Cross-fitted on the folds' backbones; from `--work` when it is there."""
    path = options.work / "small-vlm.npz"
    if path.is_file():
        return load_cross_fit(path)

    def one(number: int, training: Sequence[Example], record: Record) -> None:
        eyes = options.folds / f"fold-{number}"

        def watch(step: int, network: SmallNetwork) -> None:
            record(step, judge_with(assemble(eyes, network, RAW, "", "cpu")))

        _on(eyes, training, recipe, shape, options.seed, watch)

    crossed = judge_folds(examples, recipe.folds, one, say)
    crossed.save(path)
    return crossed


def _on(
    eyes: Path,
    examples: Sequence[Example],
    recipe: Recipe,
    shape: Shape,
    seed: int,
    watch: Callable[[int, SmallNetwork], None] | None = None,
    last: int | None = None,
) -> SmallNetwork:
    """Cache the maps of the backbone in `eyes`, then train on them."""
    stream = make_stream(examples, classifier.Recipe(side=SIDE), seed)
    views = chain(photographed(stream, recipe.views), _scenes(recipe.scene_seed, recipe.scenes))
    samples, maps = see(eyes, views, shape.grid)
    say(f"{len(samples)} views seen by {eyes.name}")
    return fit(samples, maps, shape, recipe, seed, watch, last, say)


@cache
def _scenes(seed: int, count: int) -> list[View]:
    """The same for every backbone, so they are drawn once."""
    return list(rendered(seed, count))


def judge_with(tier: SmallVLM) -> Judge:
    """The tier's log-odds of single views."""

    def judge(images: Sequence[Image.Image]) -> Floats:
        said = tier.evidence([(tier.prepare(image),) for image in images])
        return np.array([each.log_odds for each in said])

    return judge


def _moved(answers: Answers, applied: Calibration) -> Answers:
    return answers.moved(np.array([applied.apply(score) for score in answers.scores]))


def save(network: SmallNetwork, folder: Path, eyes: Path, calibration: dict[str, float]) -> None:
    """Half-precision weights (tied ones once), the shape, and which backbone they belong to."""
    folder.mkdir(parents=True, exist_ok=True)
    state = network.state_dict()
    state.pop("decoder.lm_head.weight")
    save_file({name: each.half().contiguous() for name, each in state.items()}, folder / WEIGHTS)
    config = {"shape": network.shape.to_json(), "backbone_sha256": digest(eyes / WEIGHTS)}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    write_calibration(folder, calibration)


def say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.learn.small_vlm", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv, train and val")
    parser.add_argument("--folds", type=Path, required=True, help="what models.learn.train --work left")
    parser.add_argument("--backbone", type=Path, default=DEFAULT, help="the classifier's folder")
    parser.add_argument("--out", type=Path, default=SMALL_VLM, help="folder for the weights and their card")
    parser.add_argument("--work", type=Path, default=Path(), help="keep out-of-fold answers here")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    return parser


if __name__ == "__main__":
    main()
