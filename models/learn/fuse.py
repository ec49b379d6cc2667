"""`python -m models.learn.fuse TRACES.npz --out fusion.json`: choose, fit and calibrate a fusion.

Reads what the members said out of fold (`models.fusion.table` names the arrays), compares the kinds on it
cross-fitted by sequence, and writes the one that is chosen with the comparison. The logistic baseline stays
unless another kind beats it beyond the interval. `--kind` takes the one named, compared all the same.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from models.core import Evidence
from models.fusion.registry import KINDS, Fitted, save
from models.fusion.table import load_rows

REPEATS = 200


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        fitted = run(options)
    except ValueError as error:
        print(f"models.learn.fuse: {error}", file=sys.stderr)
        return 1
    print(f"one fusion takes {microseconds(fitted):.0f} us here; {fitted.digest}\nwritten to {options.out}")
    return 0


def run(options: argparse.Namespace) -> Fitted:
    """Raises ValueError for traces that cannot be read or are too few."""
    rows = load_rows(options.traces)
    if options.members:
        rows = rows.only(options.members)
    from models.fusion.choose import choose

    choice = choose(
        rows,
        options.kinds,
        insist=options.kind,
        prior=options.prior,
        seed=options.seed,
        draws=options.draws,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    print(choice.table())
    save(choice.fitted, options.out)
    return choice.fitted


def microseconds(fitted: Fitted) -> float:
    """What fusing one request costs in service, the fastest of many: everybody has spoken."""
    said = [
        Evidence(name, "", 0.5, features=dict.fromkeys(fitted.names.get(name, ()), 0.5))
        for name in fitted.members
    ]
    spent = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        fitted.fuse(said)
        spent.append(time.perf_counter() - began)
    return 1e6 * min(spent)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.learn.fuse", description="Choose, fit and calibrate a fusion."
    )
    parser.add_argument("traces", type=Path, help=".npz of what the members said, with labels and sequences")
    parser.add_argument("--out", type=Path, required=True, help="where fusion.json goes")
    parser.add_argument(
        "--members", nargs="+", help="only these, cheap to dear; default: all, as in the file"
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="what to compare")
    parser.add_argument("--kind", choices=KINDS, help="take this one, whatever the comparison says")
    parser.add_argument("--prior", type=_chance, default=0.5, help="share of roadwork to decide for; 0.5")
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap draws per interval; 1000")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def _chance(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
