"""`python -m models.vlm.say IMAGE...`: what a VLM in this process says of a scene, in words.

One to six pictures are the views of one scene. The small VLM that comes along speaks, or with --path any
image-text-to-text checkpoint of transformers; --steps as in the setting cascade.compress. Told are the
probability, the reason (greedy), and what reading took. Nothing here serves: a miner answers with one word.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models import members
from models.calibration import probability
from models.imaging.decode import decode
from models.imaging.header import ImageError, Limits

LIMITS = Limits(2**26, 50_000_000)
"""Pictures here are the operator's own."""


def tell(
    path: str | None, steps: Sequence[str], files: Sequence[Path], device: str = "cpu"
) -> dict[str, Any]:
    """Raises ValueError with a sentence for a checkpoint, a step or a picture that will not do, OSError for a
    file that is not there."""
    kind = "vlm_inprocess" if path else "small_vlm"
    tier: Any = members.load({"kind": kind, "path": path, "steps": list(steps) or None}, device)
    scene = tuple(tier.prepare(_picture(file)) for file in files)
    (evidence,) = tier.evidence([scene])
    start = time.perf_counter()
    (reason,) = tier.reason([scene])
    return {
        "prediction": probability(evidence.log_odds),
        "reason": reason,
        "took": dict(evidence.features),
        "ms": {"word": evidence.cost_ms, "reason": (time.perf_counter() - start) * 1e3},
        "version": evidence.version,
    }


def _picture(file: Path) -> Any:
    try:
        return decode(file.read_bytes(), LIMITS).image
    except ImageError as error:
        raise ValueError(f"{file} is no picture that can be read: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m models.vlm.say", description=__doc__)
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    parser.add_argument("--path", help="folder of a checkpoint; the small VLM without one")
    parser.add_argument("--steps", default="", help='separated by commas, as "nvfp4,purekv 0.2"')
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    steps = [step.strip() for step in asked.steps.split(",") if step.strip()]
    try:
        told = tell(asked.path, steps, asked.images, asked.device)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps(told) + "\n" if asked.json else _lines(told))
    return 0


def _lines(told: dict[str, Any]) -> str:
    took = ", ".join(f"{name} {value:g}" for name, value in told["took"].items())
    spent = f"first word {told['ms']['word']:.0f} ms, reason {told['ms']['reason']:.0f} ms"
    return f"{told['prediction']:.3f}  {told['reason']}\n{took}\n{spent}\n"


if __name__ == "__main__":
    sys.exit(main())
