"""What keeping freed memory (`models/heap.py`) is worth: milliseconds of a training step of the embedded
recipe and of an image that the embedded classifier judges in a thread, and the page faults of each, with
and without.

Each measurement in a process of its own, in turns, on rendered scenes; what is trained began at random."""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from harness.ending import conclude

ROOT = Path(__file__).resolve().parents[1]
STEPS, SECONDS, SCENES = 6, 4.0, 24
FASTER = 1.1
"""How many times faster a training step should be."""


def training() -> dict[str, float]:
    """Seconds of a step after the first, page faults of one."""
    import torch

    from models.learn.data import read
    from models.learn.fit import make_stream
    from models.learn.network import open_network, revive_norms
    from models.learn.recipe import Recipe
    from models.scenes import write_scenes

    torch.set_num_threads(2)
    recipe = Recipe()
    with tempfile.TemporaryDirectory() as name:
        write_scenes(Path(name), SCENES, seed=1)
        batches = list(make_stream(read(Path(name)), recipe, 0).batches(recipe.batch, 1)) * (STEPS + 1)
    network = open_network(None, 0)
    revive_norms(network, [batches[0][0]], recipe.momentum)
    network.train()
    taken, faults = [], 0
    for images, labels in batches:
        began, before = time.perf_counter(), _faults()
        logits = network(pixel_values=images).logits
        torch.nn.functional.cross_entropy(logits, labels.long()).backward()
        network.zero_grad()
        taken.append(time.perf_counter() - began)
        faults = _faults() - before
    return {"a unit": statistics.median(taken[1:]), "faults": faults}


def judging() -> dict[str, float]:
    """Seconds and page faults an image."""
    import torch

    from models.classifier import load_classifier
    from models.scenes import render
    from models.weights import DEFAULT

    torch.set_num_threads(1)
    tier = load_classifier(DEFAULT)
    shown = [tier.prepare(render(1, True))]
    found: dict[str, float] = {}

    def work() -> None:
        tier.evidence(shown)
        began, before, count = time.perf_counter(), _faults(), 0
        while time.perf_counter() - began < SECONDS:
            tier.evidence(shown)
            count += 1
        found.update(
            {"a unit": (time.perf_counter() - began) / count, "faults": (_faults() - before) / count}
        )

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found


PARTS = {"training step": training, "image judged": judging}


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def child(part: str, kept: bool) -> None:
    from models import heap

    if kept:
        heap.keep()
    print(json.dumps(PARTS[part]()))


def asked(part: str, kept: bool) -> dict[str, float]:
    """In a process of its own."""
    command = [sys.executable, str(Path(__file__)), "--child", part, *(["--kept"] if kept else [])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.strip().rpartition("\n")[2])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one turn instead of four: under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--child", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--kept", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.kept)
        return 0
    rows: list[dict[str, Any]] = []
    print(
        f"{'':14} {'ms given back':>14} {'ms kept':>8} {'faster':>18} {'faults given back':>18} {'kept':>8}"
    )
    for part in PARTS:
        turns = [(asked(part, False), asked(part, True)) for _ in range(1 if options.quick else 4)]
        ratios = sorted(plain["a unit"] / kept["a unit"] for plain, kept in turns)
        plain, kept = (
            {name: statistics.median(turn[side][name] for turn in turns) for name in ("a unit", "faults")}
            for side in (0, 1)
        )
        faster = statistics.median(ratios)
        rows.append({"part": part, "given back": plain, "kept": kept, "ratios": ratios, "faster": faster})
        said = f"{faster:.2f} [{ratios[0]:.2f} {ratios[-1]:.2f}]"
        print(
            f"{part:14} {plain['a unit'] * 1e3:14.1f} {kept['a unit'] * 1e3:8.1f} {said:>18} "
            f"{plain['faults']:18,.0f} {kept['faults']:8,.0f}",
            flush=True,
        )
    slow = [row for row in rows if row["part"] == "training step" and row["faster"] < FASTER]
    misses = [f"a training step is {row['faster']:.2f} times as fast (target: {FASTER})" for row in slow]
    return conclude(rows, misses, file=options.json, check=options.check)


if __name__ == "__main__":
    raise SystemExit(main())
