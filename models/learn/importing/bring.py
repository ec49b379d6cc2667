"""Rows of any layout into one folder of ours: pictures, and a manifest that says what they show."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from models.imaging.decode import decode
from models.imaging.header import ImageError, Limits
from models.imaging.likeness import fingerprint, like_any
from models.learn.data import LABELS, Example, read
from models.learn.importing.parquet import parquet
from models.learn.importing.row import LayoutError, Row

MANIFEST = "manifest.csv"
COLUMNS = ("file", "label", "source", "sequence", "split", "strength")
LIMITS = Limits(bytes=32 * 2**20, pixels=50_000_000)
QUALITY = 92


def bring_in(
    rows: Iterable[Row],
    out: Path,
    *,
    known: Iterable[int] = (),
    side: int = 0,
    split: str = "train",
    alike: bool = False,
) -> Counter[str]:
    """Write `rows` below `out`, beside what earlier calls wrote there; how many were "kept", "alike" another
    or of `known`, or "unreadable".

    `side`: a longer shorter side is scaled down to this many pixels; 0 keeps the bytes as they are. `alike`:
    keep look-alikes too. Raises LayoutError for a folder that something else was written to.
    """
    there = _there(out)
    marks, counts = list(known), Counter[str]()
    if not alike:
        marks += (fingerprint(each.load()) for each in there)
    out.mkdir(parents=True, exist_ok=True)
    with (out / MANIFEST).open("a", newline="", encoding="utf-8") as file:
        manifest = csv.writer(file)
        if file.tell() == 0:
            manifest.writerow(COLUMNS)
        for row in rows:
            outcome, mark = _judge(row, () if alike else marks)
            counts[outcome] += 1
            if mark is not None:
                marks.append(mark)
                name = _write(row, out, side, len(there) + counts["kept"])
                manifest.writerow((name, LABELS[row.roadwork], row.source, row.sequence, split, row.strength))
    return counts


def unpacked(place: Path, scratch: Path) -> Path:
    """`place`, or `scratch` with the pictures in it where `place` is, or holds, parquet files. Raises
    LayoutError."""
    inside = place.is_dir() and not (place / MANIFEST).is_file() and any(place.rglob("*.parquet"))
    if place.suffix != ".parquet" and not inside:
        return place
    bring_in(parquet(place, place.stem), scratch, split="", alike=True)
    return scratch


def _there(out: Path) -> list[Example]:
    """What earlier calls wrote."""
    path = out / MANIFEST
    if not path.is_file():
        if any((out / label).exists() for label in LABELS):
            raise LayoutError(f"{out} holds pictures without a {MANIFEST}: name another folder")
        return []
    head, *rows = path.read_text(encoding="utf-8").splitlines() or [""]
    if head != ",".join(COLUMNS):
        raise LayoutError(f"{path} has other columns than ours: name another folder")
    return read(out) if rows else []


def _judge(row: Row, marks: Iterable[int]) -> tuple[str, int | None]:
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
