"""Hostile clients against our front, while a permitted validator is served: who gets what, and what it costs.

Every attack runs alone, then all of them together. `--check` fails when the validator missed a challenge, or
memory grew by 50 MB or did not come back.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from harness.attacks import ATTACKS, Target, all_at_once
from harness.siege import Watched, siege

GROWTH_MB = 50.0
LEFT_MB = 20.0
"""What may stay resident after everything: allocator slack and the replay window's entries, not buffers."""
WIRE = {"max_ahead_s": 1.0}
QUICK_WIRE = {**WIRE, "header_timeout_s": 1.0, "body_timeout_s": 1.0}
QUICK = {"hold_s": 2.5, "strangers": 1500, "forgeries": 800, "scans": 150, "huge": 3}
SETTLE_S = 15.0


async def measure(quick: bool) -> dict[str, Watched]:
    """Every attack by name, in the order of the table; prints each row as it comes."""
    results: dict[str, Watched] = {}
    at_least_s = 2.0 if quick else 8.0
    with tempfile.TemporaryDirectory() as folder:
        async with siege(Path(folder), QUICK_WIRE if quick else WIRE) as stage:
            calm = await stage.quiet(at_least_s)
            print(
                f"{'nobody attacks':18s}",
                *(f"{calm[name]:8.1f}" for name in ("p50", "p95", "max")),
                flush=True,
            )
            target = replace(Target(stage.port), **(QUICK if quick else {}))
            for name, attack in {**ATTACKS, "all at once": all_at_once}.items():
                results[name] = await stage.endure(attack, target, at_least_s=at_least_s, settle_s=SETTLE_S)
                print(row(name, results[name]), flush=True)
    return results


HEADER = (
    f"{'attack':18s} {'p50 ms':>8s} {'p95 ms':>8s} {'max ms':>8s} {'served':>9s} {'took s':>6s} "
    f"{'peak MB':>8s} {'after MB':>8s} {'left':>5s}  how the attempts ended"
)


def row(name: str, seen: Watched) -> str:
    endings = ", ".join(f"{ending} {count}" for ending, count in sorted(seen.endings.items()))
    served = f"{seen.validator.get('answered', 0)}/{sum(seen.validator.values())}"
    return (
        f"{name:18s} {seen.p50:8.1f} {seen.p95:8.1f} {seen.max:8.1f} {served:>9s} {seen.seconds:6.1f} "
        f"{seen.peak_mb:+8.1f} {seen.after_mb:+8.1f} {seen.left:5d}  {endings}"
    )


def failures(results: dict[str, Watched]) -> Iterator[str]:
    """Each target that was missed, in a sentence."""
    for name, seen in results.items():
        if seen.missed:
            yield f"{name}: the validator missed {seen.missed} challenges"
        if seen.peak_mb >= GROWTH_MB:
            yield f"{name}: resident memory grew by {seen.peak_mb:.0f} MB (target: under {GROWTH_MB:.0f})"
        if seen.left:
            yield f"{name}: {seen.left} connections were still open {SETTLE_S:.0f} s later"
    last = list(results.values())[-1]
    if last.after_mb >= LEFT_MB:
        yield f"{last.after_mb:.0f} MB stayed resident after everything (target: under {LEFT_MB:.0f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer attackers, shorter timers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    arguments = parser.parse_args()
    print(HEADER)
    results = asyncio.run(measure(arguments.quick))
    if arguments.json:
        rows = {name: asdict(seen) for name, seen in results.items()}
        arguments.json.write_text(json.dumps(rows, indent=1))
    print(f"validator's p95 under the worst attack: {max(seen.p95 for seen in results.values()):.1f} ms")
    missed = list(failures(results))
    print("\n".join(f"MISSED: {line}" for line in missed) or "all targets met")
    return int(arguments.check and bool(missed))


if __name__ == "__main__":
    sys.exit(main())
