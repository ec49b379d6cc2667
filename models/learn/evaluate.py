"""`python -m models.learn.evaluate --data PLACE`: how a checkpoint (`--model`) or a whole cascade
(`--cascade`) does, as it is served.

A checkpoint is loaded by `models.classifier.load_classifier`, calibration included; a cascade's members are
asked one after the other, and how often each was asked is told. All over real JPEG bytes in every input
regime, sizes dealt out blind (`models.learn.shapes`); intervals are bootstrapped over whole sequences.
PLACE is a folder with a manifest, or with roadwork/ and none/ in it, or parquet files of the hub's layout.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.progress import Progress

from models.learn.contestant import Contestant, cascade, checkpoint, is_cascade
from models.learn.data import Example, judged_split, read, splits
from models.learn.importing.bring import unpacked
from models.learn.judge import DRAWS, Answers, Judge, Line, ask, format_table, tabulate
from models.learn.kept import Kept, key_of
from models.learn.paired import compare
from models.learn.shapes import dealt
from models.learn.sheet import page
from models.learn.shortcuts import Probes, probe
from models.weights import DEFAULT

SEED = 0


def evaluate(model: Path, examples: Sequence[Example]) -> tuple[Judge, Answers]:
    """What the checkpoint in `model` says about every example in every regime."""
    judge = checkpoint(model).judge
    return judge, ask(judge, examples, shapes=dealt(examples, SEED))


def lines_to_json(lines: Sequence[Line]) -> list[dict[str, object]]:
    return [
        {
            "source": line.source,
            "regime": line.regime,
            **line.report.to_json(),
            "mcc_95": _pair(line.interval),
        }
        for line in lines
    ]


def _pair(interval: tuple[float, float]) -> list[float] | None:
    return None if interval[0] != interval[0] else list(interval)


def describe(probes: Probes) -> str:
    named = [f"{source} {mcc:.3f}" for source, mcc in probes.within.items()]
    within = ", ".join(named) or "no source has both labels"
    return (
        f"Shortcuts: image size alone reaches MCC {probes.size_mcc:.2f} here, and {probes.dealt_mcc:.2f} in "
        "challenges, whose shapes are dealt out blindly; a wide frame instead of a "
        f"square one moves streets without works by {probes.shape_shift:+.2f} (log-odds); MCC inside one "
        f"source: {within}."
    )


def main() -> int:
    """Print the table, and write what was asked for; 1 with a sentence when it cannot be done."""
    options = _parser().parse_args()
    try:
        with TemporaryDirectory() as scratch:
            _run(options, unpacked(options.data, Path(scratch)))
    except (ValueError, OSError) as error:
        print(f"not evaluated: {error}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace, data: Path) -> None:
    for file in filter(None, (options.html, options.json)):
        file.parent.mkdir(parents=True, exist_ok=True)
    split = judged_split(data) if options.split is None else options.split or None
    test = read(data, split)
    paths: Counter[str] = Counter()
    asked = _contestant(options, paths)
    answers = _ask(asked, test, options.resume)
    lines = tabulate(answers)
    print(format_table(lines))
    shares = {path: count / paths.total() for path, count in paths.most_common()}
    for path, share in shares.items():
        print(f"{share:.1%} {path}")
    probed = split == "val" and "train" in splits(data)
    probes = probe(asked.judge, read(data, "train"), test, answers) if probed else None
    if probes:
        print(describe(probes))
    rival = _against(options, test, answers)
    if options.html:
        options.html.write_text(
            page(f"{asked.version} on {options.data.name}", lines, answers, test), "utf-8"
        )
    if options.json:
        content = {
            "version": asked.version,
            "lines": lines_to_json(lines),
            "paths": shares,
            "shortcuts": asdict(probes) if probes else None,
            "against": rival,
        }
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _contestant(options: argparse.Namespace, paths: Counter[str]) -> Contestant:
    """Whom the options name; `paths` counts which members of a cascade spoke, "classifier > regions"."""
    if options.cascade:
        return cascade(
            options.cascade, options.device, lambda verdict: paths.update([" > ".join(verdict.path)])
        )
    named = {"revision": options.revision, "label": options.label}
    return checkpoint(options.model, device=options.device, **named)


def _ask(contestant: Contestant, test: Sequence[Example], resume: Path | None) -> Answers:
    """With a progress bar on standard error; from where an earlier run stopped."""
    each = sum(DRAWS.values())
    key = key_of(f"{contestant.version}, shapes dealt", test, SEED)
    kept = Kept(resume, key, each) if resume else None
    shapes = dealt(test, SEED)
    with Progress(*Progress.get_default_columns(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("images", total=len(test))
        return ask(
            contestant.judge,
            test,
            seed=SEED,
            kept=kept,
            told=lambda done, _: bar.update(task, completed=done),
            shapes=shapes,
        )


def _against(options: argparse.Namespace, test: Sequence[Example], answers: Answers) -> Any:
    """`--against` on the same challenges, first; what is evaluated is the second."""
    if options.against is None:
        return None
    opened = cascade if is_cascade(options.against) else checkpoint
    resume = options.resume.with_suffix(".against") if options.resume else None
    found = compare(_ask(opened(options.against, device=options.device), test, resume), answers)
    print(f"Against {options.against}: {found.sentence()}")
    return found.to_json()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.learn.evaluate", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", default=DEFAULT, help="a checkpoint's folder, or its id on the hub")
    what.add_argument("--cascade", type=Path, help="a cascade's folder instead, with its cascade.json")
    parser.add_argument("--revision", help="commit of a model from the hub")
    parser.add_argument("--label", default="Roadwork", help="the label that means roadwork, in any case")
    parser.add_argument("--data", type=Path, required=True, help="labelled images; see docs/training.md")
    parser.add_argument("--split", help="which of its splits; empty for all images (else val, where it is)")
    parser.add_argument("--against", type=Path, help="folder of a checkpoint or cascade to compare with")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--resume", type=Path, help="keep answers in this file, and go on from it")
    parser.add_argument("--html", type=Path, help="write table, curves and the worst cases here")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
