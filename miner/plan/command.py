"""What fits on which GPUs, in sums that can be followed, and how to start it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from miner.plan.report import Report, reckon, to_json
from miner.plan.view import view
from miner.terminal import echo
from models.residency.gpus import BadGPUs
from models.residency.launch import NoCheckpoint
from models.residency.presets import FEASIBLE, ORIGINAL

EXIT_REFUSED = 1
EXIT_USAGE = 2
PRESETS = tuple(preset.name for preset in FEASIBLE)


def main(argv: Sequence[str]) -> int:
    """Print the plan; 0 when everything has its place, 1 when something was refused, 2 for a wrong flag."""
    options = _parser().parse_args(argv)
    try:
        report = reckon(options.gpus, options.preset, options.members)
    except (BadGPUs, NoCheckpoint, ValueError) as error:
        sys.stderr.write(f"streetvision-miner plan: {error}\n")
        return EXIT_USAGE
    if options.json:
        sys.stdout.write(json.dumps(to_json(report), indent=2) + "\n")
    else:
        echo(view(report))
        for launch in report.launches:  # unbroken, so that they can be copied
            echo(launch.command or launch.note)
    if options.env_dir and report.launches:
        _write(report, options.env_dir)
    return 0 if report.fits else EXIT_REFUSED


def _write(report: Report, folder: Path) -> None:
    """One environment file per server, for `sglang@NAME.service`."""
    folder.mkdir(parents=True, exist_ok=True)
    for launch in report.launches:
        if launch.argv:
            (folder / f"{launch.name}.env").write_text(launch.env, encoding="utf-8")
            sys.stderr.write(f"written: {folder / launch.name}.env\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="streetvision-miner plan", description=__doc__)
    parser.add_argument("--gpus", help="e.g. 2xH100-80, 1x24, 8xH100 (default: the preset's)")
    parser.add_argument(
        "--preset",
        help=f"a set of members: {', '.join(PRESETS)}; or original: the first plan's two 80 GB tables, "
        f"judged line by line ({', '.join(ORIGINAL)})",
    )
    parser.add_argument(
        "--members",
        nargs="+",
        metavar="NAME[:PRECISION[:KV[:GPUS]]]",
        help="members of the catalogue instead of a preset, e.g. qwen3-vl-32b:fp8:fp8:2; +NAME: on demand",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--env-dir", type=Path, help="also write an environment file per server there")
    return parser
