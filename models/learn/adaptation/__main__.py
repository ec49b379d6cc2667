"""One run of one clock on labelled images: a memory, or a candidate for the registry.

The last line of standard output is a JSON object (`models.learn.adaptation.outcome`)."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from models.learn.adaptation.items import Item, ItemsError, read
from models.learn.adaptation.outcome import Learned
from models.learn.adaptation.reservoir import MOST, replay

KINDS = ("remember", "bias", "head", "full", "judge")
NICE = 19


def main(arguments: Sequence[str] | None = None) -> int:
    """0 also when there was nothing to learn; 1 when the input cannot be used, with a sentence."""
    options = parse(arguments)
    if options.nice:
        os.nice(NICE)
    from models.checkpoint import CheckpointError
    from models.learn.adaptation.candidate import NotAdaptable

    try:
        learned = run(options)
    except (ItemsError, CheckpointError, NotAdaptable) as error:
        print(f"nothing is learned: {error}", file=sys.stderr)
        return 1
    print(json.dumps(learned.to_json()), flush=True)
    return 0


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line's options (None: of this process). Exits with 2 on a mistake."""
    return _parser().parse_args(arguments)


def run(options: argparse.Namespace) -> Learned:
    """Raises ItemsError, CheckpointError or NotAdaptable."""
    import torch

    torch.set_num_threads(options.threads)
    items = read(options.items)
    if options.kind == "remember":
        return _remember(options, items)
    if options.kind == "judge":
        return _judge(options, items)
    kept = replay(items, options.most, options.seed)
    if options.kind == "full":
        return _full(options, kept)
    from models.learn.adaptation.daily import daily
    from models.learn.adaptation.embed import embed

    seen = embed(options.base, kept, options.cache)
    return daily(options.base, seen, options.out, layer=options.kind == "head", seed=options.seed)


def _remember(options: argparse.Namespace, items: list[Item]) -> Learned:
    from models.learn.adaptation.embed import embed
    from models.learn.adaptation.remember import REFERENCES, remember

    found = remember(options.out, embed(options.base, items, options.cache), options.most)
    if found is None:
        return Learned(False, f"{len(items)} labelled images: {REFERENCES} are the fewest to remember by")
    return Learned(True, f"{len(found)} images are remembered", {"remembered": float(len(found))})


def _judge(options: argparse.Namespace, items: list[Item]) -> Learned:
    """The slices of a checkpoint as it is, on what nobody trains on."""
    from models.calibration import read as read_calibration
    from models.checkpoint import CALIBRATION
    from models.learn.adaptation.daily import calibrated
    from models.learn.adaptation.embed import embed
    from models.learn.adaptation.outcome import compared

    seen = embed(options.base, [item for item in items if item.held], options.cache)
    odds = calibrated(read_calibration(options.base / CALIBRATION), seen.raw)
    return replace(compared("judged as it is", 0, seen.items, odds, odds), made=False)


def _full(options: argparse.Namespace, items: list[Item]) -> Learned:
    from models.learn.adaptation.full import RECIPE, full

    recipe = replace(RECIPE, steps=options.steps or RECIPE.steps, batch=options.batch)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    given = {"recipe": recipe, "seed": options.seed, "cache": options.cache, "distil": options.distil}
    return full(options.base, items, options.out, **given, say=say)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.learn.adaptation", description=__doc__)
    parser.add_argument("kind", choices=KINDS, help="remember, bias, head, full, or judge: slices only")
    parser.add_argument("--items", type=Path, required=True, help="JSON list of labelled images")
    parser.add_argument("--base", type=Path, required=True, help="folder of the checkpoint in service")
    parser.add_argument("--out", type=Path, required=True, help="folder for the candidate, or the memory's")
    parser.add_argument("--cache", type=Path, help="file that keeps embeddings from run to run")
    parser.add_argument("--most", type=int, default=MOST, help="most images replayed or remembered")
    parser.add_argument("--steps", type=int, help="of full: batches, each time")
    parser.add_argument("--batch", type=int, default=32, help="of full: views in a batch")
    parser.add_argument("--distil", action="store_true", help="of full: once more, taught by old and new")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--nice", action="store_true", help="give way to everybody else")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
