"""Train a classifier on your labelled images: the head, low-rank changes or all of a backbone; with a teacher
if you like. Interrupted, the same command goes on where it stopped."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.learn.recipe import Recipe, shared

if TYPE_CHECKING:
    from models.learn.data import Example
    from models.learn.tune.whole import Job

HOWS = ("frozen", "lora", "full")
STEPS = 400
FREE = ("device", "logs", "seeds", "threads", "work")
"""Options that may change between an interruption and going on."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 with a sentence."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(given)
    if bool(options.distil) != bool(options.teacher):
        print("--distil and --teacher go together (see docs/training.md)", file=sys.stderr)
        return 1
    from models.checkpoint import CheckpointError
    from models.learn.data import DataError
    from models.learn.logbook import LogbookError
    from models.learn.snapshot import SnapshotError

    try:
        _run(options, given)
    except (CheckpointError, DataError, LogbookError, SnapshotError, ValueError) as error:
        print(f"nothing is trained: {error}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace, given: Sequence[str]) -> None:
    import torch

    from models.learn.loop import Keep
    from models.learn.network import write_json
    from models.learn.snapshot import claim
    from models.learn.tune.card import write_card
    from models.learn.tune.export import RECORD
    from models.learn.tune.whole import train

    torch.set_num_threads(options.threads)
    started = time.monotonic()
    work = options.work or options.out.with_name(f"{options.out.name}.unfinished")
    asked = {name: value for name, value in sorted(vars(options).items()) if name not in FREE}
    claim(work, repr(asked))
    job = _job(options, work)
    note = f"{options.backbone} {options.revision} {options.distil} {options.teacher} {options.weight}"
    record = train(job, work, options.out, Keep(work / "running", logs=options.logs, note=note), _say)
    record |= {
        "command": "python -m models.learn.tune " + shlex.join(given),
        "backbone": {"path": options.backbone, "revision": options.revision},
        "teacher": {"how": options.distil, "who": options.teacher},
        "wall_minutes": round((time.monotonic() - started) / 60, 1),
    }
    write_json(options.out / RECORD, record)
    write_card(options.out, record)
    if not options.work:
        shutil.rmtree(work, ignore_errors=True)
    _say(f"written to {options.out}")


def _job(options: argparse.Namespace, work: Path) -> Job:
    from models.classifier import resolve_device
    from models.learn.compose import never_judged, write_composed
    from models.learn.train import rendered
    from models.learn.tune.backbone import open_backbone
    from models.learn.tune.method import RATES, Method
    from models.learn.tune.training import sized
    from models.learn.tune.whole import Job

    device = resolve_device(options.device)
    start = partial(open_backbone, options.backbone, options.revision, options.seed)
    recipe = replace(
        Recipe(),
        steps=options.steps,
        warmup=max(1, options.steps // 10),
        batch=options.batch,
        rate=options.rate or RATES[options.recipe],
        folds=options.folds,
        scenes=options.scenes,
    )
    training, test = _parts(options.data, options.without)
    recipe = shared(sized(recipe, start(), options.side), {each.source for each in training})
    return Job(
        start=start,
        examples=training,
        always=[
            *(rendered(work / "scenes", options.scenes, recipe.scene_seed) if options.scenes else []),
            *write_composed(work / "composed", never_judged(training), options.composed, options.seed),
        ],
        test=test,
        recipe=recipe,
        method=Method(options.recipe, options.rank, options.alpha or 2.0 * options.rank),
        objective=_objective(options, recipe, device),
        seeds=range(options.seed, options.seed + options.seeds),
        device=device,
    )


def _parts(data: Path, without: Sequence[str]) -> tuple[list[Example], list[Example]]:
    """To train on, and to judge: a folder that is not split is all training, and then the figures out of fold
    are all there is. Raises DataError."""
    from models.learn.data import read, splits

    there = splits(data)
    training, test = read(data, "train" if there else None), read(data, "val") if "val" in there else []
    first, second = ([each for each in part if each.source not in without] for part in (training, test))
    return first, second


def _objective(options: argparse.Namespace, recipe: Recipe, device: str) -> Any:
    if not options.distil:
        return None
    from models.learn.distil.settings import objective

    return objective(options.distil, options.teacher, recipe, device, options.weight)


def _say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.learn.tune", description=__doc__)
    parser.add_argument("--recipe", choices=HOWS, required=True, help="what of the backbone is trained")
    parser.add_argument(
        "--backbone", default="embedded", help="folder, hub id, or embedded: the default classifier"
    )
    parser.add_argument("--revision", help="commit of a backbone from the hub")
    parser.add_argument("--data", type=Path, required=True, help="labelled images; see docs/training.md")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint and its record")
    parser.add_argument("--steps", type=int, default=STEPS, help="length of the schedule in batches")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, help="top learning rate (else by recipe)")
    parser.add_argument("--rank", type=int, default=8, help="of lora's changes")
    parser.add_argument("--alpha", type=float, help="scale of lora's changes, times 1 / rank (else 2 x rank)")
    parser.add_argument("--side", type=int, help="px of training views (else what the backbone is shown)")
    parser.add_argument("--folds", type=int, default=Recipe.folds, help="of the cross-fit that calibrates")
    parser.add_argument("--seed", type=int, default=0, help="first seed, and the one that is written")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds to train and report")
    parser.add_argument("--scenes", type=int, default=0, help="rendered scenes that take part")
    parser.add_argument("--composed", type=int, default=0, help="composed pictures that take part")
    parser.add_argument("--without", nargs="*", default=[], help="sources to leave out")
    parser.add_argument("--distil", choices=("kd", "vl2lite"), help="learn from a teacher too")
    parser.add_argument("--teacher", help="ensemble:A,B  cascade:DIR  clip:DIR[@COMMIT]  drawn")
    parser.add_argument("--weight", type=float, default=0.5, help="of the labels beside the teacher, 0 to 1")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU")
    parser.add_argument("--logs", type=Path, help="folder for TensorBoard's event files (extra train)")
    parser.add_argument("--work", type=Path, help="keep intermediate results here (else beside OUT)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
