"""`python -m models.learn.importing KIND PLACE --out FOLDER`: labelled pictures into one folder of ours.

Pictures that cannot be decoded are left out, and so are look-alikes of one another and of what `--against`
holds (training data, so that no test is leaked into). The folder gets roadwork/, none/ and a manifest.csv;
one that an import filled before is added to.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from models.learn.data import DataError
from models.learn.importing.boxes import voc, yolo
from models.learn.importing.bring import bring_in, marks_of
from models.learn.importing.cmu import roadwork
from models.learn.importing.crops import with_pairs
from models.learn.importing.ours import ours
from models.learn.importing.parquet import parquet
from models.learn.importing.row import Importer, LayoutError

BOXED = {"roadwork": roadwork, "voc": voc, "yolo": yolo}
"""Layouts with boxes of named classes."""
IMPORTERS: Mapping[str, Importer] = {"folder": ours, "manifest": ours, "parquet": parquet, **BOXED}


def main() -> int:
    """0, or 1 with a sentence."""
    options = _parser().parse_args()
    try:
        rows = _importer(options)(options.place, options.source or options.place.stem)
        counts = bring_in(
            with_pairs(rows) if options.crops else rows,
            options.out,
            known=marks_of(options.against),
            side=options.side,
            split=options.split,
        )
    except (LayoutError, DataError, OSError) as error:
        print(f"not imported: {error}", file=sys.stderr)
        return 1
    said = ", ".join(f"{counts[name]} {name}" for name in ("kept", "alike", "unreadable"))
    print(f"{options.out}: {said}")
    return 0


def _importer(options: argparse.Namespace) -> Importer:
    if options.kind in BOXED:
        return partial(BOXED[options.kind], works=options.works)
    if options.works or options.crops:
        raise LayoutError(f"--works and --crops are for layouts with boxes: {', '.join(BOXED)}")
    return IMPORTERS[options.kind]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.learn.importing", description=__doc__)
    parser.add_argument("kind", choices=sorted(IMPORTERS))
    parser.add_argument("place", type=Path, help="the folder or file to read")
    parser.add_argument("--out", type=Path, required=True, help="a folder for what is kept")
    parser.add_argument("--source", default="", help="what to call it (none: the place's own name)")
    parser.add_argument("--split", default="train", help="split that the manifest says")
    parser.add_argument("--side", type=int, default=0, help="scale the shorter side down (0: as it is)")
    parser.add_argument("--against", type=Path, nargs="*", default=[], help="leave out look-alikes of these")
    parser.add_argument(
        "--works", nargs="*", default=[], help="classes that mean works (else by their names)"
    )
    parser.add_argument("--crops", action="store_true", help="add crops with and without works of each frame")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
