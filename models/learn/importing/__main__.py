"""`python -m models.learn.importing KIND PLACE --out FOLDER`: labelled pictures into one folder of ours.

Pictures that cannot be decoded are left out, and so are look-alikes of one another and of what `--against`
holds (training data, so that no test is leaked into). The folder gets roadwork/, none/ and a manifest.csv.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from PIL import Image

from models.imaging.decode import decode
from models.imaging.header import ImageError, Limits
from models.imaging.likeness import fingerprint, like_any
from models.learn.data import LABELS, read
from models.learn.importing.boxes import voc, yolo
from models.learn.importing.cmu import roadwork
from models.learn.importing.ours import ours
from models.learn.importing.parquet import parquet
from models.learn.importing.row import Importer, LayoutError, Row

IMPORTERS: Mapping[str, Importer] = {
    "folder": ours,
    "manifest": ours,
    "parquet": parquet,
    "roadwork": roadwork,
    "voc": voc,
    "yolo": yolo,
}
COLUMNS = ("file", "label", "source", "sequence", "split", "strength")
LIMITS = Limits(bytes=32 * 2**20, pixels=50_000_000)
QUALITY = 92


def bring_in(
    rows: Iterable[Row], out: Path, *, known: Iterable[int] = (), side: int = 0, split: str = "train"
) -> Counter[str]:
    """Write `rows` below `out`; how many were "kept", "alike" another or of `known`, or "unreadable".

    `side`: a longer shorter side is scaled down to this many pixels; 0 keeps the bytes as they are.
    """
    marks, counts = list(known), Counter[str]()
    out.mkdir(parents=True, exist_ok=True)
    with (out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        manifest = csv.writer(file)
        manifest.writerow(COLUMNS)
        for row in rows:
            outcome, mark = _judge(row, marks)
            counts[outcome] += 1
            if mark is not None:
                marks.append(mark)
                name = _write(row, out, side, counts["kept"])
                manifest.writerow((name, LABELS[row.roadwork], row.source, row.sequence, split, row.strength))
    return counts


def _judge(row: Row, marks: list[int]) -> tuple[str, int | None]:
    try:
        mark = fingerprint(decode(row.image, LIMITS).image)
    except ImageError:
        return "unreadable", None
    return ("alike", None) if like_any(mark, marks) else ("kept", mark)


def _write(row: Row, out: Path, side: int, number: int) -> str:
    """The file's name relative to `out`; unique, and made of nothing but letters, digits and dashes."""
    safe = re.sub(r"[^A-Za-z0-9-]+", "-", row.name)[:60].strip("-")
    image = Image.open(io.BytesIO(row.image))
    name = f"{LABELS[row.roadwork]}/{number:06d}-{safe}.{'jpg' if side else (image.format or 'jpg').lower()}"
    path = out / name
    path.parent.mkdir(exist_ok=True)
    if not side:
        path.write_bytes(row.image)
    else:
        scaled(decode(row.image, LIMITS).image, side).save(path, "JPEG", quality=QUALITY)
    return name


def scaled(image: Image.Image, side: int) -> Image.Image:
    """RGB with its shorter side at most `side` pixels."""
    factor = min(1.0, side / min(image.size))
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.convert("RGB").resize(size, Image.Resampling.LANCZOS) if factor < 1 else image.convert("RGB")


def marks_of(folders: Iterable[Path]) -> Iterator[int]:
    """The fingerprints of all pictures in folders of ours."""
    for folder in folders:
        for example in read(folder):
            yield fingerprint(example.load())


def main() -> None:
    options = _parser().parse_args()
    try:
        rows = IMPORTERS[options.kind](options.place, options.source or options.place.stem)
        known = marks_of(options.against)
        counts = bring_in(rows, options.out, known=known, side=options.side, split=options.split)
    except LayoutError as error:
        raise SystemExit(f"not imported: {error}") from error
    said = ", ".join(f"{counts[name]} {name}" for name in ("kept", "alike", "unreadable"))
    print(f"{options.out}: {said}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.learn.importing", description=__doc__)
    parser.add_argument("kind", choices=sorted(IMPORTERS))
    parser.add_argument("place", type=Path, help="the folder or file to read")
    parser.add_argument("--out", type=Path, required=True, help="a folder for what is kept")
    parser.add_argument("--source", default="", help="what to call it (none: the place's own name)")
    parser.add_argument("--split", default="train", help="split that the manifest says")
    parser.add_argument("--side", type=int, default=0, help="scale the shorter side down (0: as it is)")
    parser.add_argument("--against", type=Path, nargs="*", default=[], help="leave out look-alikes of these")
    return parser


if __name__ == "__main__":
    main()
