"""Broken inputs by the million: requests, pictures, settings and what a chain may say, without a socket.

    nice -n 15 python bench/fuzz.py [--quick] [--check] [--json FILE] [--seed N] [--only TARGET ...]

The full form is 1,000,000 requests, 200,000 pictures, 20,000 settings and 20,000 metagraphs. Requests go as
bytes through the connection's parser, signature, JSON, base64 and image header to an answer; pictures through
the decoder, and some of them through the embedded model. What breaks something is made smaller and kept in
tests/corpus/TARGET, where a test judges it again for ever. `--see TARGET NUMBER` shows one case.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from harness.fuzz import TARGETS  # noqa: E402
from harness.fuzz.run import Outcome, Work, rng_of, run  # noqa: E402
from loguru import logger  # noqa: E402

FULL = {"requests": 1_000_000, "images": 200_000, "settings": 20_000, "chain": 20_000}
QUICK = {"requests": 6_000, "images": 2_000, "settings": 600, "chain": 1_000}
GROWTH_MB = 64.0
"""From a tenth of the cases to the end: caches are full by then, and nothing more may pile up."""


def misses(results: list[Outcome]) -> list[str]:
    """Each target that was missed, in a sentence."""
    missed = []
    for one in results:
        missed += [f"{one.target} {each.number}: {each.what.splitlines()[-1]}" for each in one.findings]
        if one.grown_mb >= GROWTH_MB:
            missed.append(
                f"{one.target}: resident memory grew by {one.grown_mb:.0f} MB (target: under {GROWTH_MB:.0f})"
            )
    return missed


def show(one: Outcome) -> None:
    common = ", ".join(f"{word} {count:,}" for word, count in one.outcomes.most_common(9))
    print(
        f"{one.target:9} {one.cases:10,} cases {len(one.findings):3} findings {one.cpu_s:8.0f} s CPU "
        f"{one.settled_mb:6.0f} -> {one.end_mb:.0f} MB  {common}",
        flush=True,
    )


def see(target: str, number: int, seed: int) -> int:
    sys.stdout.buffer.write(TARGETS[target]().case(rng_of(seed, target, number), number))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--check", action="store_true", help="exit 1 when something was found")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--scale", type=float, default=1.0, help="times as many cases")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop then, however far it is")
    parser.add_argument("--corpus", type=Path, default=ROOT / "tests" / "corpus")
    parser.add_argument(
        "--see", nargs=2, metavar=("TARGET", "NUMBER"), help="write one case to standard output"
    )
    options = parser.parse_args()
    logger.remove()
    if options.see:
        return see(options.see[0], int(options.see[1]), options.seed)
    counts = QUICK if options.quick else FULL
    results = []
    for name in options.only:
        count = max(1, round(counts[name] * options.scale))
        until = time.monotonic() + 60.0 * options.minutes / len(options.only)
        work = Work(name, options.seed, count, until)
        results.append(run(work, options.corpus, lambda line: print(line, flush=True)))
        show(results[-1])
    if options.json:
        rows = [asdict(one) | {"outcomes": dict(one.outcomes)} for one in results]
        options.json.write_text(json.dumps({"seed": options.seed, "results": rows}, indent=1))
    missed = misses(results)
    print("\n".join(f"MISSED: {line[:200]}" for line in missed) or "nothing found")
    return int(options.check and bool(missed))


if __name__ == "__main__":
    sys.exit(main())
