"""Composed pictures (models/learn/compose.py) in training, beside the same training without them.

Folds by sequence over the training split's sources with both labels; a fold's pictures are composed from
its own streets alone, and every picture is judged by models that saw none of its sequence. Same steps,
views and seeds in both arms. The interval (95 %) of the difference in balanced MCC is by sequence. Raw
log-odds at threshold 0."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from models.learn.compose import SOURCE, write_composed
from models.learn.crossfit import held_out
from models.learn.data import Example, read, two_sided
from models.learn.fit import fit, judge_with
from models.learn.judge import ONCE, Answers, ask, join
from models.learn.loop import Keep
from models.learn.metrics import report
from models.learn.paired import Comparison, compare
from models.learn.recipe import Recipe
from models.learn.regimes import REGIMES
from models.learn.shapes import dealt
from models.scenes import write_scenes

SHARED = Path(__file__).parents[1].parent / "shared"
ARMS = ("without", "with")
SHARE = 0.15
"""How often a composed picture is drawn, of either label."""


def collect(options: argparse.Namespace, scratch: Path) -> tuple[str, list[Example]]:
    if (options.data / "manifest.csv").is_file() and not options.quick:
        return "real images", read(options.data, "train")
    write_scenes(scratch, 12, seed=95)
    found = [replace(each, source="scenes", sequence=str(n % 6)) for n, each in enumerate(read(scratch))]
    return "rendered scenes: that everything runs", found


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The shipped recipe, shortened, with shares for composed pictures; unused in the arm without any."""
    base = Recipe()
    short = replace(
        base,
        side=96, batch=16, steps=options.steps, warmup=max(1, options.steps // 10), checkpoints=(1.0,),
        roadwork_shares={**base.roadwork_shares, SOURCE: SHARE},
        none_shares={**base.none_shares, SOURCE: SHARE},
    )  # fmt: skip
    return replace(short, side=48, batch=4, steps=2, warmup=1) if options.quick else short


def judged(
    arm: str,
    number: int,
    folds: Sequence[Sequence[Example]],
    fixed: Sequence[Example],
    options: argparse.Namespace,
    work: Path,
) -> Answers:
    """The fold's own pictures, by a model of the others."""
    training = [*fixed, *(each for index, fold in enumerate(folds) if index != number for each in fold)]
    if arm == "with":
        streets = [each for each in training if not each.roadwork]
        training += write_composed(work / f"composed-{number}", streets, options.count, seed=number)
    init = None if options.quick else options.init
    run = fit(
        training,
        init,
        recipe_of(options),
        options.seed,
        say=lambda text: print(f"{arm} {number}: {text}", file=sys.stderr, flush=True),
        width=0.35 if options.quick else 1.0,
        keep=Keep(work / f"{arm}-{number}"),
    )
    held = folds[number][:: options.every]
    return ask(judge_with(run.network), held, ONCE, shapes=dealt(held))


def measure(options: argparse.Namespace, scratch: Path) -> tuple[str, dict[str, Answers]]:
    what, examples = collect(options, scratch / "scenes")
    sources = two_sided(examples)
    fixed = [each for each in examples if each.source not in sources]
    folds = held_out(examples, options.folds)
    work = options.work or scratch / "work"
    return what, {
        arm: join([judged(arm, number, folds, fixed, options, work) for number in range(len(folds))])
        for arm in ARMS
    }


def show(what: str, found: dict[str, Answers], gain: Comparison) -> None:
    print(f"{what}\n\n| composed | regime | challenges | MCC | TPR | TNR | AUC |\n" + "|---" * 7 + "|")
    for arm in ARMS:
        for regime in ("all", *REGIMES):
            part = found[arm].pick((found[arm].regimes == regime) | (regime == "all"))
            line = report(part.scores, part.roadwork)
            print(
                f"| {arm} | {regime} | {line.count} | {line.mcc:.3f} | {line.tpr:.3f} | {line.tnr:.3f} "
                f"| {line.auc:.3f} |"
            )
    low, high = gain.mcc_95
    verdict = "better" if low > 0 else "worse" if high < 0 else "not beyond chance"
    print(f"\nwith over without: {gain.mcc:+.3f} [{low:+.3f} {high:+.3f}], {verdict}")


def main() -> int:
    options = parse(sys.argv[1:])
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        what, found = measure(options, Path(scratch))
    gain = compare(found["without"], found["with"])
    show(what, found, gain)
    if options.json:
        content = {"data": what, "steps": options.steps, "gain": asdict(gain)}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if options.check and gain.mcc_95[0] <= 0:
        print("MISSED: composed pictures are not shown to help")
        return 1
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="rendered scenes, two steps, under a minute")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--check", action="store_true", help="exit 1 unless composed pictures help")
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="labelled images, split train")
    parser.add_argument("--init", type=Path, default=SHARED / "weights", help="where trainings start")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--count", type=int, default=300, help="composed pictures of a fold")
    parser.add_argument("--every", type=int, default=1, help="judge every so many of the pictures only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="keep unfinished trainings here, and go on from them")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
