"""Distillation and low-rank training, each beside its control on the same data, schedule and seeds.

Students are the embedded architecture from its ImageNet start; all arms see the same views of the training
split in the same order, for the same number of steps, and are judged on the validation split, which nothing
was chosen on. Intervals (95 %) are of the difference in balanced MCC, by sequence, over all regimes; there
are few sequences. Raw log-odds at threshold 0: no arm is calibrated.

kd         half of the loss is the embedded classifier's calibrated answer
vl2lite    visual and linguistic distillation from attributes that a teacher learned on rendered scenes
frozen     the head alone on the embedded classifier's features learned from ImageNet
lora       the head and low-rank changes of every pointwise convolution, beside frozen

Where ../shared/data or the starting point is not there, rendered scenes and random weights take their
place: that shows that everything runs, and nothing else."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness.ending import conclude

from models.learn.data import Example, read
from models.learn.distil.settings import objective
from models.learn.judge import ONCE, Answers, ask, join
from models.learn.loop import Keep
from models.learn.metrics import report
from models.learn.network import open_network, save
from models.learn.paired import Comparison, compare
from models.learn.recipe import Recipe
from models.learn.shapes import dealt
from models.learn.tune.backbone import judge_of, open_backbone
from models.learn.tune.method import Method, trained
from models.learn.tune.training import MakeObjective, tune
from models.scenes import write_scenes
from models.weights import DEFAULT

SHARED = Path(__file__).parents[1].parent / "shared"
PLAIN = Recipe(
    side=96, batch=16, steps=100, warmup=10, rate=4e-4, decay=0.95, checkpoints=(1.0,), weight_decay=0.02
)
QUICK = replace(PLAIN, side=48, batch=4, steps=3, warmup=1)


@dataclass(frozen=True)
class Arm:
    """`control` the arm that it is compared with; "" for a control. `rate` by method: a head alone bears
    more."""

    name: str
    control: str
    method: Method
    rate: float
    distil: str = ""
    teacher: str = ""


ARMS = (
    Arm("labels", "", Method("full"), 4e-4),
    Arm("kd", "labels", Method("full"), 4e-4, "kd", f"ensemble:{DEFAULT}"),
    Arm("vl2lite", "labels", Method("full"), 4e-4, "vl2lite", "drawn"),
    Arm("frozen", "", Method("frozen"), 3e-3),
    Arm("lora", "frozen", Method("lora", rank=8, alpha=16.0), 2e-3),
)


@dataclass(frozen=True)
class Outcome:
    """One arm over all seeds: MCC of each, how many weights were trained, and the comparison with its
    control."""

    name: str
    control: str
    mcc: list[float]
    auc: list[float]
    weights: int
    gain: Comparison | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def collect(options: argparse.Namespace, scratch: Path) -> tuple[str, Path, list[Example], list[Example]]:
    """(what the data is, the starting point, training examples, test examples)."""
    data, init = options.data, options.init
    if (data / "manifest.csv").is_file() and (init / "config.json").is_file() and not options.quick:
        return "real images", init, read(data, "train"), read(data, "val")[:: options.every]
    parts = []
    for index in (0, 1):
        folder = scratch / str(index)
        write_scenes(folder, 8, seed=90 + index)
        parts.append([replace(each, sequence=str(n % 4)) for n, each in enumerate(read(folder))])
    save(open_network(None, 0, 0.35), scratch / "start")
    return "rendered scenes and random weights", scratch / "start", *parts


def judged(arm: Arm, seed: int, start: Path, training: Sequence[Example], test: Sequence[Example],
           recipe: Recipe, aim: MakeObjective | None, keep: Keep) -> tuple[Answers, int]:  # fmt: skip
    run = tune(
        partial(open_backbone, start, None, seed),
        training,
        replace(recipe, rate=arm.rate),
        arm.method,
        seed,
        objective=aim,
        say=lambda text: print(f"{arm.name} {seed}: {text}", file=sys.stderr, flush=True),
        keep=keep.below(f"{arm.name}-{seed}"),
    )
    answers = ask(judge_of(run.backbone), test, ONCE, shapes=dealt(test))
    return answers, trained(run.backbone.module)


def measure(options: argparse.Namespace, scratch: Path) -> tuple[str, list[Outcome]]:
    what, start, training, test = collect(options, scratch)
    recipe = QUICK if options.quick else replace(PLAIN, steps=options.steps, warmup=options.steps // 10)
    answers: dict[str, list[Answers]] = {}
    outcomes = []
    for arm in ARMS:
        if options.arms and arm.name not in options.arms:
            continue
        aim = objective(arm.distil, arm.teacher, recipe, "cpu", 0.5) if arm.distil else None
        keep = Keep(options.work, note=f"{arm} {start}") if options.work else Keep()
        found = [judged(arm, seed, start, training, test, recipe, aim, keep) for seed in range(options.seeds)]
        answers[arm.name] = [each for each, _ in found]
        rival = answers.get(arm.control)
        gain = compare(join(rival), join(answers[arm.name])) if rival else None
        reports = [report(each.scores, each.roadwork) for each in answers[arm.name]]
        outcomes.append(
            Outcome(
                arm.name,
                arm.control,
                [each.mcc for each in reports],
                [each.auc for each in reports],
                found[0][1],
                gain,
            )
        )
    return what, outcomes


def show(what: str, outcomes: Sequence[Outcome]) -> None:
    print(f"{what}\n\n| arm | weights trained | MCC of each seed | mean MCC | mean AUC | over its control |")
    print("|---|---|---|---|---|---|")
    for one in outcomes:
        each = ", ".join(f"{mcc:.3f}" for mcc in one.mcc)
        gain = ""
        if one.gain:
            low, high = one.gain.mcc_95
            gain = f"{one.control}: {one.gain.mcc:+.3f} [{low:+.3f} {high:+.3f}], {verdict(one.gain)}"
        means = f"{np.mean(one.mcc):.3f} | {np.mean(one.auc):.3f}"
        print(f"| {one.name} | {one.weights:,} | {each} | {means} | {gain} |")


def verdict(gain: Comparison) -> str:
    low, high = gain.mcc_95
    return "better" if low > 0 else "worse" if high < 0 else "not beyond chance"


def missed(outcomes: Sequence[Outcome]) -> list[str]:
    """Arms that are worse than their control beyond the interval."""
    return [
        f"{one.name} is worse than {one.control} by {-one.gain.mcc:.3f} of MCC, beyond the interval"
        for one in outcomes
        if one.gain and one.gain.mcc_95[1] < 0
    ]


def main() -> int:
    options = parse(sys.argv[1:])
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        what, outcomes = measure(options, Path(scratch))
    show(what, outcomes)
    record = {"data": what, "steps": options.steps, "arms": [one.to_json() for one in outcomes]}
    return conclude(record, missed(outcomes), file=options.json, check=options.check)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="rendered scenes, three steps, under a minute")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--check", action="store_true", help="exit 1 when an arm is worse than its control")
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="splits train and val")
    parser.add_argument("--init", type=Path, default=SHARED / "weights", help="the students' starting point")
    parser.add_argument("--steps", type=int, default=PLAIN.steps)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="judge every so many of the pictures only")
    parser.add_argument("--arms", nargs="*", help="only these")
    parser.add_argument("--work", type=Path, help="keep unfinished trainings here, and go on from them")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
