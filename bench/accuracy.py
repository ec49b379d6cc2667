"""The embedded classifier's accuracy: by source, in every regime and at every level, with what is not known.

MODELS are folders of the same recipe with different seeds; figures are means over them, intervals (95 %) are
of that mean, by sequence, and there are few sequences. Balanced MCC at the calibrated threshold. Sizes of
native challenges are dealt out blind (models/learn/shapes.py); every level of distortion is asked about once.

False alarms: streets without works taken for roadwork, by the first model, on native challenges, and the
upper bound of their rate (one-sided 95 %, Clopper-Pearson; pictures are taken as independent, which those of
one drive are not).

--train WORK adds what takes training, with the recipe's own loop, shortened (--steps, 128 px, batches of 16):
figures to compare with each other, not with the shipped model. Leave-one-source-out: every picture of a
source judged by a model that saw none of it. The learning curve over the number of sequences. Interrupted,
the same command goes on. The documented run: bench/accuracy.py A B C --train WORK --check"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness.ending import conclude
from rich.console import Console
from rich.progress import Progress
from scipy.stats import beta

from models.classifier import load_classifier
from models.learn.contestant import served
from models.learn.data import DataError, Example, judged_split, read
from models.learn.fit import fit, judge_with
from models.learn.judge import Judge
from models.learn.kept import Kept, key_of
from models.learn.loop import Keep
from models.learn.metrics import balanced_mcc, bootstrap, rates
from models.learn.recipe import Recipe
from models.learn.shapes import dealt
from models.learn.shortcuts import headers
from models.learn.strata import LEVELS, VIEWS, Strata, ask_all
from models.weights import DEFAULT

SHARED = Path(__file__).parents[1].parent / "shared"
CLEAN, DISTORTED, ALARMS = 0.92, 0.82, 0.10
QUICK = 12
FEWEST = 20
"""Streets without works of one source from which a rate is told."""
SHARES = (0.25, 0.5, 1.0)
DRAWS = 500


@dataclass(frozen=True)
class Line:
    """`level` None: all of them. `mcc` mean over `seeds`; NaN with one label only."""

    source: str
    regime: str
    level: int | None
    challenges: int
    mcc: float
    low: float
    high: float
    seeds: list[float]
    tpr: float
    tnr: float


@dataclass(frozen=True)
class Alarms:
    """Of a source's streets without works."""

    source: str
    where: str
    streets: int
    sequences: int
    false: int
    distorted: float

    @property
    def upper(self) -> float:
        return (
            1.0
            if self.false == self.streets
            else float(beta.ppf(0.95, self.false + 1, self.streets - self.false))
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "rate": self.false / self.streets, "upper": self.upper}


def judged(judge: Judge, version: str, examples: Sequence[Example], work: Path | None) -> Strata:
    key = key_of(f"{version}, strata", examples, 0)
    kept = Kept(work / f"answers-{key[:12]}", key, len(VIEWS)) if work else None
    with Progress(*Progress.get_default_columns(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(version, total=len(examples))
        return ask_all(
            judge, examples, dealt(examples), kept=kept, told=lambda done, _: bar.update(task, completed=done)
        )


def lines(found: Sequence[Strata]) -> list[Line]:
    sources = ("all", *sorted(set(found[0].answers.sources.tolist())))
    levels: list[tuple[str, int | None]] = [("native", None), ("letterbox", None), ("augmented", None)]
    levels += [("augmented", level) for level in LEVELS]
    return [_line(found, source, regime, level) for source in sources for regime, level in levels]


def _line(found: Sequence[Strata], source: str, regime: str, level: int | None) -> Line:
    rows = found[0].rows(source, regime, level)
    parts = [each.answers.pick(rows) for each in found]

    def mcc(index: Any) -> float:
        return float(
            np.mean([balanced_mcc(*rates(each.scores[index], each.roadwork[index])) for each in parts])
        )

    both = parts[0].roadwork.any() and not parts[0].roadwork.all()
    low, high = bootstrap(parts[0].sequences.tolist(), mcc, DRAWS) if both else (float("nan"),) * 2
    whole = np.arange(len(rows))
    pairs = np.array([rates(each.scores, each.roadwork) for each in parts])
    return Line(
        source, regime, level, len(rows), mcc(whole), low, high,
        [balanced_mcc(*pair) for pair in pairs.tolist()], *pairs.mean(axis=0).tolist(),
    )  # fmt: skip


def alarms(found: Strata, where: str) -> list[Alarms]:
    """By source, where there are enough streets without works."""
    answers, out = found.answers, []
    for source in sorted(set(answers.sources.tolist())):
        streets = answers.pick(found.rows(source, "native"))
        streets = streets.pick(~streets.roadwork)
        if len(streets.scores) < FEWEST:
            continue
        other = answers.pick(found.rows(source, "augmented"))
        distorted = float((other.scores[~other.roadwork] > 0).mean())
        false = int((streets.scores > 0).sum())
        count = len(set(streets.sequences.tolist()))
        out.append(Alarms(source, where, len(streets.scores), count, false, distorted))
    return out


@dataclass(frozen=True)
class Trained:
    """Lines and alarms of sources that were left out; `curve` rows of (sequences, MCC native, augmented)."""

    lines: list[Line]
    alarms: list[Alarms]
    curve: list[tuple[int, float, float]]


def train(options: argparse.Namespace) -> Trained:
    training = read(options.data, "train")
    recipe = replace(
        Recipe(),
        side=128,
        batch=16,
        steps=options.steps,
        warmup=max(1, options.steps // 10),
        checkpoints=(1.0,),
    )
    rows, false, curve = [], [], []
    for source in sorted({each.source for each in training}):
        rest = [each for each in training if each.source != source]
        out = _some([each for each in read(options.data) if each.source == source], options.most)
        if {each.roadwork for each in rest} != {False, True}:
            continue
        found = _fitted(rest, recipe, f"without-{source}", options, out)
        rows.append(_line([found], source, "native", None))
        rows.append(_line([found], source, "augmented", None))
        false += alarms(found, "left out")
    test = _some(read(options.data, "val"), options.most)
    for share in SHARES:
        part = portion(training, share)
        found = _fitted(part, recipe, f"share-{share}", options, test)
        native, augmented = (_line([found], "all", regime, None).mcc for regime in ("native", "augmented"))
        curve.append((len({each.sequence for each in part}), native, augmented))
    return Trained(rows, false, curve)


def portion(examples: Sequence[Example], share: float) -> list[Example]:
    """About `share` of each source's sequences, evenly taken by name, at least one of each label."""
    kept: set[tuple[str, str]] = set()
    for source in sorted({each.source for each in examples}):
        for roadwork in (False, True):
            names = sorted(
                {each.sequence for each in examples if (each.source, each.roadwork) == (source, roadwork)}
            )
            count = max(1, round(share * len(names)))
            kept |= {(source, names[index * len(names) // count]) for index in range(count) if names}
    return [each for each in examples if (each.source, each.sequence) in kept]


def _some(examples: Sequence[Example], most: int) -> list[Example]:
    """At most so many of each label, evenly taken."""
    out = []
    for roadwork in (False, True):
        part = [each for each in examples if each.roadwork == roadwork]
        out += part[:: max(1, len(part) // most)][:most]
    return out


def _fitted(
    training: Sequence[Example],
    recipe: Recipe,
    name: str,
    options: argparse.Namespace,
    test: Sequence[Example],
) -> Strata:
    def say(text: str) -> None:
        print(f"{name}: {text}", file=sys.stderr, flush=True)

    keep = Keep(options.train / name)
    run = fit(training, options.init, recipe, 0, say=say, keep=keep)
    return judged(judge_with(run.network), f"{name} {recipe}", test, options.train)


@dataclass(frozen=True)
class Result:
    models: list[str]
    pictures: int
    sequences: int
    headers: dict[str, float]
    lines: list[Line]
    alarms: list[Alarms]
    trained: Trained | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"alarms": [each.to_json() for each in self.alarms]}


def measure(options: argparse.Namespace) -> Result:
    test, training = read(options.data, options.split or judged_split(options.data)), _training(options.data)
    if options.quick:
        test, training = test[::QUICK], training[:: 4 * QUICK]
    found = []
    for folder in options.models[:1] if options.quick else options.models:
        tier = load_classifier(folder)
        found.append(judged(served(tier), f"{folder.name} {tier.version}", test, options.work))
    return Result(
        [str(folder.name) for folder in options.models],
        len(test),
        len({each.sequence for each in test}),
        headers(training, test) if training else {},
        lines(found),
        alarms(found[0], "trained on"),
        train(options) if options.train else None,
    )


def _training(data: Path) -> list[Example]:
    """None where a set is for testing only: then nothing can be learned from its headers either."""
    try:
        return read(data, "train")
    except DataError:
        return []


def show(result: Result) -> None:
    print(f"{len(result.models)} models on {result.pictures} pictures of {result.sequences} sequences")
    print(
        "headers of one deal alone: "
        + ", ".join(f"{name} {mcc:+.3f}" for name, mcc in result.headers.items())
    )
    print(_table(result.lines))
    print(_alarms(result.alarms))
    if result.trained:
        print(f"\nLeave one source out (short trainings, uncalibrated):\n{_table(result.trained.lines)}")
        print(_alarms(result.trained.alarms))
        print("\n| sequences | native MCC | augmented MCC |\n|---|---|---|")
        for count, native, augmented in result.trained.curve:
            print(f"| {count} | {native:.3f} | {augmented:.3f} |")


def _table(rows: Sequence[Line]) -> str:
    out = ["\n| source | regime | challenges | MCC [95 %] | each seed | TPR | TNR |", "|---" * 7 + "|"]
    for row in rows:
        regime = row.regime if row.level is None else f"{row.regime}, level {row.level}"
        mcc = f"{row.mcc:.3f} [{row.low:.3f} {row.high:.3f}]" if row.low == row.low else "-"
        seeds = ", ".join(f"{each:.3f}" for each in row.seeds) if row.low == row.low else "-"
        tpr, tnr = ("-" if each != each else f"{each:.3f}" for each in (row.tpr, row.tnr))
        out.append(f"| {row.source} | {regime} | {row.challenges} | {mcc} | {seeds} | {tpr} | {tnr} |")
    return "\n".join(out)


def _alarms(rows: Sequence[Alarms]) -> str:
    out = ["\n| source | | streets | sequences | false alarms | at most | distorted |", "|---" * 7 + "|"]
    for row in rows:
        rate = f"{row.false} ({row.false / row.streets:.1%})"
        out.append(
            f"| {row.source} | {row.where} | {row.streets} | {row.sequences} | {rate} | {row.upper:.1%} "
            f"| {row.distorted:.1%} |"
        )
    return "\n".join(out)


def missed(result: Result) -> list[str]:
    """Targets not reached."""
    whole = {(row.regime, row.level): row.mcc for row in result.lines if row.source == "all"}
    out = []
    for regime, target in (("native", CLEAN), ("augmented", DISTORTED)):
        if not whole[regime, None] >= target:
            out.append(f"MCC {regime} is {whole[regime, None]:.3f}, not {target}")
    for row in [*result.alarms, *(result.trained.alarms if result.trained else [])]:
        if row.upper >= ALARMS:
            out.append(
                f"false alarms on {row.source} ({row.where}, {row.streets} streets) may be {row.upper:.1%}"
            )
    return out


def main() -> int:
    options = parse(sys.argv[1:])
    torch.set_num_threads(options.threads)
    result = measure(options)
    show(result)
    return conclude(result.to_json(), missed(result), file=options.json, check=options.check)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", type=Path, default=[DEFAULT], help="a folder for each seed")
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="labelled images")
    parser.add_argument("--split", help="what is judged (else val, or everything without such a split)")
    parser.add_argument("--init", type=Path, default=SHARED / "weights", help="where trainings start")
    parser.add_argument("--train", type=Path, metavar="WORK", help="leave-one-source-out and learning curve")
    parser.add_argument("--steps", type=int, default=160, help="of each of these trainings")
    parser.add_argument("--most", type=int, default=120, help="pictures of a label that judge each of them")
    parser.add_argument("--work", type=Path, help="keep answers here, and go on from them")
    parser.add_argument("--quick", action="store_true", help="one model on a few pictures, under a minute")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
