"""The embedded cascade on real street images: members, fusions, and what asking fewer of them saves.

Everything is measured on the validation split, which no choice has seen: every member is asked about every
image in each input regime. Intervals (95 %) are by sequence, and there are few. Where ../shared/data is not
there, rendered scenes take its place, and the report says so. ms: of one CPU thread, one image at a time,
this run's own.

Steps: views replace the classifier's one look by the mean of several; what another member or a closer look
says is added to the classifier's log-odds. gain: MCC over the classifier alone."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness.ending import conclude

from models import description
from models.cascade import Plan
from models.classifier import load_classifier
from models.fusion import registry
from models.fusion.registry import Fitted
from models.fusion.rows import Floats
from models.learn.cascade.figures import (
    Figures,
    Interval,
    by_class,
    difference,
    figures,
    format_figures,
    ranged,
)
from models.learn.cascade.margins import leave
from models.learn.cascade.whole import open_cascade
from models.learn.data import Example, read
from models.learn.prefixes import fused
from models.learn.replay import Replayed, replay
from models.learn.traces import Heard, listen
from models.members import load
from models.scenes import write_scenes
from models.weights import CASCADE, DEFAULT

DATA = Path(__file__).parents[1].parent / "shared" / "data"
CHEAPER = 3.0
QUICK = 12
SCENES = 60


@dataclass(frozen=True)
class Deferred:
    """The cascade beside its full ensemble: mean ms of both, how often each member was asked, the difference
    in MCC with its interval."""

    lines: list[Figures]
    asked: dict[str, float]
    ratio: float
    difference: float
    interval: Interval

    @property
    def equal(self) -> bool:
        """Whether no loss is known: the interval of the difference reaches 0."""
        return self.interval[1] >= 0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "lines": [line.to_json() for line in self.lines], "equal": self.equal}


@dataclass(frozen=True)
class Step:
    """A test-time step: its own ms on top of the classifier, and the MCC it adds."""

    name: str
    cost_ms: float
    gain: float
    interval: Interval

    @property
    def verdict(self) -> str:
        per_ms = f"{100 * self.gain / self.cost_ms:+.3f} points of MCC per ms"
        if self.interval[0] > 0:
            return per_ms
        return f"{per_ms}: {'NEGATIVE' if self.gain < 0 else 'not beyond chance'}"


def examples(folder: Path, quick: bool, scratch: Path) -> tuple[str, list[Example]]:
    """What is measured on, and its name."""
    if (folder / "manifest.csv").is_file():
        found = read(folder, "val")
        return "real images", found[:: max(1, len(found) // QUICK)] if quick else found
    write_scenes(scratch, QUICK if quick else SCENES, seed=4_000_000_000)
    return f"rendered scenes, since {folder} is not there", read(scratch)


def members(heard: Heard) -> list[Figures]:
    """Each alone."""
    return [
        figures(name, heard.answers(np.nan_to_num(heard.rows.log_odds[:, index])), _mean(heard, [index]))
        for index, name in enumerate(heard.rows.members)
    ]


def fusions(heard: Heard, fitted: Sequence[Fitted]) -> list[Figures]:
    """All members, fused by each kind."""
    cost = _mean(heard, range(len(heard.rows.members)))
    return [figures(f"all, {each.kind}", heard.answers(each.log_odds(heard.rows)), cost) for each in fitted]


def _mean(heard: Heard, columns: Sequence[int] | range) -> float:
    return by_class(heard.cost_ms[:, list(columns)].sum(axis=1), heard.rows.roadwork)


def kinds(folder: Path) -> list[Fitted]:
    """The shipped fusion and its rivals."""
    chosen = description.read(folder).fusion
    paths = [*([Path(chosen)] if chosen else []), *sorted((folder / "rivals").glob("*.json"))]
    return [registry.load(path) for path in paths]


def by_plan(heard: Heard, plan: Plan) -> Deferred:
    """The cascade as it serves, replayed on what was said, beside its fusion of everybody."""
    full = replay(heard, Plan(plan.fuse))
    return _beside(heard, full, replay(heard, plan))


def by_margin(heard: Heard, fitted: Fitted, band: float) -> Deferred:
    """The same when the next member is asked only within `band` of 0, chosen out of fold for its cost."""
    full, found = replay(heard, Plan(fitted.fuse)), leave(fused(fitted, heard.rows), band)
    count = len(heard.rows.members)
    return _beside(heard, full, Replayed(found.scores, found.cost_ms(heard.cost_ms), found.asked(count)))


def _beside(heard: Heard, full: Replayed, part: Replayed) -> Deferred:
    gap, interval = difference(heard.answers(part.scores), heard.answers(full.scores))
    lines = [_line("all members", heard, full), _line("left early", heard, part)]
    asked = dict(zip(heard.rows.members, part.asked.mean(axis=0).round(4).tolist(), strict=True))
    whole, mean = (by_class(each.cost_ms, heard.rows.roadwork) for each in (full, part))
    return Deferred(lines, asked, whole / mean, gap, interval)


def _line(name: str, heard: Heard, found: Replayed) -> Figures:
    return figures(name, heard.answers(found.scores), by_class(found.cost_ms, heard.rows.roadwork))


BAND = 1.0
"""Within this of 0 the classifier counts as unsure."""
VIEWS = (("whole", "letterbox"), ("whole", "centre"), ("whole", "left", "right"))
"""Other views of the same image that the classifier is asked about."""


def steps(found: Sequence[Example]) -> list[Step]:
    """Test-time steps on top of the classifier."""
    names = ["+".join(views) for views in VIEWS]
    asked = [
        load_classifier(DEFAULT, views=views, name=name) for views, name in zip(VIEWS, names, strict=True)
    ]
    guides = [load({"kind": "regions"}, "cpu"), load({"kind": "zoom"}, "cpu")]
    heard = listen([load_classifier(DEFAULT), *asked, *guides], found)
    base, costs = heard.rows.log_odds[:, 0], heard.cost_ms
    lines = [
        _step(heard, name, heard.rows.log_odds[:, index], costs[:, index] - costs[:, 0])
        for index, name in enumerate(names, start=1)
    ]
    regions, zoom = len(names) + 1, len(names) + 2
    for name, index, cost in (
        ("another member: regions", regions, costs[:, regions]),
        ("a closer look, guided by the regions' boxes", zoom, costs[:, regions] + costs[:, zoom]),
    ):
        said = base + np.nan_to_num(heard.rows.log_odds[:, index])
        unsure = np.abs(base) < BAND
        lines.append(_step(heard, name, said, cost))
        lines.append(_step(heard, f"{name}, where unsure", np.where(unsure, said, base), unsure * cost))
    return lines


def _step(heard: Heard, name: str, said: Floats, cost_ms: Floats) -> Step:
    gain, interval = difference(heard.answers(said), heard.answers(heard.rows.log_odds[:, 0]))
    return Step(name, float(cost_ms.mean()), gain, interval)


def deferred(heard: Heard, folder: Path) -> Deferred | None:
    """The cascade with its learned deferral, where there is one."""
    path = folder / "deferral.json"
    if not path.is_file():
        return None
    described = replace(description.read(folder), band=None, deferral=str(path), audit=0.0)
    members = list(zip(heard.rows.members, heard.versions, strict=True))
    return by_plan(heard, description.decide(described, members)[0])


def best_single(record: dict[str, Any]) -> str:
    """The member that did best out of fold."""
    alone = [line for line in record["out_of_fold"] if line["name"] in record["members"]]
    return str(max(alone, key=lambda line: line["mcc"])["name"])


@dataclass(frozen=True)
class Result:
    """Everything that is printed."""

    data: str
    rows: int
    sequences: int
    best_single: str
    gain: tuple[float, Interval]
    figures: list[Figures]
    margin: Deferred
    plan: Deferred
    learned: Deferred | None
    steps: list[Step]
    certificate: str

    def to_json(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "rows": self.rows,
            "sequences": self.sequences,
            "best_single": self.best_single,
            "gain_over_best_single": self.gain,
            "figures": [line.to_json() for line in self.figures],
            "margin": self.margin.to_json(),
            "plan": self.plan.to_json(),
            "learned": None if self.learned is None else self.learned.to_json(),
            "steps": [asdict(step) | {"verdict": step.verdict} for step in self.steps],
            "certificate": self.certificate,
        }


def measure(folder: Path, name: str, found: Sequence[Example]) -> Result:
    """Ask everybody once; the rest is reckoned from what they said."""
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    tiers, plan = open_cascade(folder)
    heard = listen(tiers, found)
    fitted = kinds(folder)
    best = best_single(record)
    alone = heard.answers(np.nan_to_num(heard.rows.log_odds[:, heard.rows.members.index(best)]))
    return Result(
        data=name,
        rows=len(heard),
        sequences=len(set(heard.rows.groups.tolist())),
        best_single=best,
        gain=difference(heard.answers(fitted[0].log_odds(heard.rows)), alone),
        figures=[*members(heard), *fusions(heard, fitted)],
        margin=by_margin(heard, fitted[0], record["margin"]["band"]),
        plan=by_plan(heard, plan),
        learned=deferred(heard, folder),
        steps=steps(found),
        certificate=record["certificate"],
    )


def show(result: Result) -> None:
    print(f"{result.data}: {result.rows} challenges of {result.sequences} sequences\n")
    print(format_figures(result.figures))
    gain = ranged(*result.gain, "+")
    print(f"best single member out of fold: {result.best_single}; all members over it in MCC: {gain}\n")
    rules = {
        "by margin (not certified)": result.margin,
        "by learned gain per millisecond (not certified)": result.learned,
        "as it serves": result.plan,
    }
    for name, each in rules.items():
        if each is None:
            continue
        shares = ", ".join(f"{member} {share:.1%}" for member, share in each.asked.items())
        print(f"leaving early {name}: {each.ratio:.2f} times cheaper; asked: {shares}")
        print(format_figures(each.lines))
        print(f"difference in MCC: {ranged(each.difference, each.interval, '+')}\n")
    print("| test-time step | ms more | gain in MCC [95 %] | |\n|---|---|---|---|")
    for step in result.steps:
        gain = ranged(step.gain, step.interval, "+")
        print(f"| {step.name} | {step.cost_ms:.1f} | {gain} | {step.verdict} |")
    print(f"\n{result.certificate}")


def missed(found: Deferred) -> list[str]:
    """Targets not reached."""
    misses = []
    if found.ratio < CHEAPER:
        misses.append(
            f"leaving early is {found.ratio:.2f} times cheaper than asking all, not {CHEAPER:g} times"
        )
    if not found.equal:
        misses.append(f"leaving early loses {-found.difference:.3f} of MCC, beyond the interval")
    return misses


def main() -> int:
    options = parse(sys.argv[1:])
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        name, found = examples(options.data, options.quick, Path(scratch))
        result = measure(options.cascade, name, found)
    show(result)
    return conclude(result.to_json(), missed(result.margin), file=options.json, check=options.check)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few images only, under a minute")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--data", type=Path, default=DATA, help="labelled images with a split val")
    parser.add_argument("--cascade", type=Path, default=CASCADE, help="the cascade's folder")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
