"""From labelled images to a calibrated checkpoint with its record: folds, then one network per seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.learn.crossfit import CrossFit, Record, judge_folds, load_cross_fit
from models.learn.data import Example
from models.learn.evaluate import evaluate, lines_to_json
from models.learn.fit import Say
from models.learn.judge import tabulate
from models.learn.loop import Figures, Keep
from models.learn.recipe import Recipe
from models.learn.train import settle
from models.learn.tune.backbone import Backbone, Open, judge_of
from models.learn.tune.export import save
from models.learn.tune.method import Method
from models.learn.tune.training import MakeObjective, tune


@dataclass(frozen=True)
class Job:
    """What is trained, on what, and how. `always` takes part in every training and in no judgement."""

    start: Open
    examples: Sequence[Example]
    always: Sequence[Example]
    test: Sequence[Example]
    recipe: Recipe
    method: Method
    objective: MakeObjective | None
    seeds: Sequence[int]
    device: str


def train(job: Job, work: Path, out: Path, keep: Keep, say: Say) -> dict[str, Any]:
    """The first seed's checkpoint in `out`; the record. What is in `work` is not done again."""
    crossed = _crossed(job, work / "crossfit.npz", keep, say)
    calibration = settle(crossed)
    say(f"train for {crossed.step} steps; {calibration}")
    seeds = []
    for seed in job.seeds:
        folder = out if seed == job.seeds[0] else work / f"seed-{seed}"
        run = tune(
            job.start,
            [*job.examples, *job.always],
            job.recipe,
            job.method,
            seed,
            objective=job.objective,
            last=crossed.step,
            say=say,
            keep=keep.below(f"seed-{seed}"),
            device=job.device,
        )
        save(run.backbone, folder, calibration)
        seeds.append({"seed": seed, "val": _judged(folder, job.test)})
    return {
        "recipe": asdict(job.recipe),
        "method": asdict(job.method),
        "cross_fit": {
            "steps": crossed.steps,
            "step": crossed.step,
            "out_of_fold": lines_to_json(tabulate(crossed.answers)),
        },
        "calibration": calibration,
        "seeds": seeds,
        "sources": sorted({example.source for example in job.examples}),
    }


def _crossed(job: Job, path: Path, keep: Keep, say: Say) -> CrossFit:
    if path.is_file():
        return load_cross_fit(path)

    def one(number: int, training: Sequence[Example], record: Record) -> None:
        def watch(step: int, backbone: Backbone) -> Figures:
            return record(step, judge_of(backbone))

        tune(
            job.start,
            [*training, *job.always],
            job.recipe,
            job.method,
            job.seeds[0],
            objective=job.objective,
            watch=watch,
            say=say,
            keep=keep.below(f"fold-{number}"),
            device=job.device,
        )

    crossed = judge_folds(job.examples, job.recipe.folds, one, say)
    crossed.save(path)
    return crossed


def _judged(folder: Path, test: Sequence[Example]) -> list[dict[str, object]]:
    """As served, on the test split, which decided nothing; empty without one."""
    return lines_to_json(tabulate(evaluate(folder, test)[1])) if test else []
