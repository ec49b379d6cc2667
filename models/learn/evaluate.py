"""`python -m models.learn.evaluate --data DIR`: how a checkpoint (`--model`) or a whole cascade (`--cascade`)
does, as it is served.

A checkpoint is loaded by `models.classifier.load_classifier`, calibration included; a cascade's members are
asked one after the other, and how often each was asked is told. All over real JPEG bytes in every input
regime, sizes dealt out blind (`models.learn.shapes`); intervals are bootstrapped over whole sequences.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import Progress

from models.classifier import load_classifier
from models.core import Tier
from models.learn.data import Example, read
from models.learn.judge import DRAWS, Answers, Judge, Line, ask, format_table, tabulate
from models.learn.kept import Kept, key_of
from models.learn.metrics import Floats
from models.learn.paired import compare
from models.learn.shapes import dealt
from models.learn.sheet import page
from models.learn.shortcuts import Probes, probe
from models.weights import DEFAULT

SEED = 0


def served(tier: Tier) -> Judge:
    """The tier's calibrated log-odds."""

    def judge(images: Sequence[Image.Image]) -> Floats:
        evidence = tier.evidence([tier.prepare(image) for image in images])
        return np.array([each.log_odds for each in evidence])

    return judge


def evaluate(model: Path, examples: Sequence[Example]) -> tuple[Judge, Answers]:
    """What the checkpoint in `model` says about every example in every regime."""
    judge = served(load_classifier(model))
    return judge, ask(judge, examples, shapes=dealt(examples, SEED))


def cascade_judge(folder: Path, paths: Counter[str]) -> Judge:
    """The cascade in `folder`; `paths` counts which members spoke, "classifier > regions"."""
    from models.learn.cascade.whole import judge_whole

    return judge_whole(folder, lambda verdict: paths.update([" > ".join(verdict.path)]))


def cascade_version(folder: Path) -> str:
    """Changes with any member and with what decides."""
    from models.learn.cascade.whole import open_cascade

    tiers, _ = open_cascade(folder)
    digest = sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.json"))))
    members = ", ".join(f"{tier.name} {tier.version}" for tier in tiers)
    return f"{folder.name} {digest.hexdigest()[:12]}: {members}"


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


def main() -> None:
    """Print the table, and write what was asked for."""
    options = _parser().parse_args()
    test = read(options.data, options.split or None)
    paths: Counter[str] = Counter()
    judge, version = _judge(options, paths)
    answers = _ask(judge, version, test, options.resume)
    lines = tabulate(answers)
    print(format_table(lines))
    shares = {path: count / paths.total() for path, count in paths.most_common()}
    for path, share in shares.items():
        print(f"{share:.1%} {path}")
    probes = probe(judge, read(options.data, "train"), test, answers) if options.split == "val" else None
    if probes:
        print(describe(probes))
    rival = _against(options, test, answers)
    if options.html:
        options.html.write_text(page(f"{version} on {options.data.name}", lines, answers, test), "utf-8")
    if options.json:
        found = asdict(probes) if probes else None
        content = {"lines": lines_to_json(lines), "paths": shares, "shortcuts": found, "against": rival}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _judge(options: argparse.Namespace, paths: Counter[str]) -> tuple[Judge, str]:
    """Whom the options name, and a text that changes with its weights."""
    if options.cascade:
        return cascade_judge(options.cascade, paths), cascade_version(options.cascade)
    tier = load_classifier(options.model)
    return served(tier), f"{tier.name} {tier.version}"


def _ask(judge: Judge, version: str, test: Sequence[Example], resume: Path | None) -> Answers:
    """With a progress bar on standard error; from where an earlier run stopped."""
    each = sum(DRAWS.values())
    kept = Kept(resume, key_of(f"{version}, shapes dealt", test, SEED), each) if resume else None
    shapes = dealt(test, SEED)
    with Progress(*Progress.get_default_columns(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("images", total=len(test))
        return ask(
            judge,
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
    other = load_classifier(options.against)
    resume = options.resume.with_suffix(".against") if options.resume else None
    found = compare(_ask(served(other), f"{other.name} {other.version}", test, resume), answers)
    print(f"Against {options.against}: {found.sentence()}")
    return asdict(found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.learn.evaluate", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", type=Path, default=DEFAULT, help="a checkpoint's folder")
    what.add_argument("--cascade", type=Path, help="a cascade's folder instead, with its cascade.json")
    parser.add_argument("--data", type=Path, required=True, help="labelled images; see models.learn.data")
    parser.add_argument("--split", default="val", help="split of the manifest; empty for all images")
    parser.add_argument("--against", type=Path, help="compare with this checkpoint, pair by pair")
    parser.add_argument("--resume", type=Path, help="keep answers in this file, and go on from it")
    parser.add_argument("--html", type=Path, help="write table, curves and the worst cases here")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser


if __name__ == "__main__":
    main()
