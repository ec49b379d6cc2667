"""Labelled images on disk, and splits that never part a sequence.

Two layouts: a folder with a `manifest.csv` (columns file and label; source, sequence, split, strength where
they are known), or one with `roadwork/` and `none/` in it, or in a folder for each split. Pictures that have
a folder of their own below a label's are one sequence.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

LABELS = ("none", "roadwork")
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations of pictures whose width is stored as height."""


class DataError(ValueError):
    """The folder is not what it should be; the message names it."""


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled image. `sequence`: which drive, clip or upload it comes from; never split one.

    `strength`  "strong", "weak" or "crop" where the manifest says so, else "".
    """

    path: Path
    roadwork: bool
    source: str
    sequence: str
    strength: str = ""

    @property
    def label(self) -> str:
        return LABELS[self.roadwork]

    def load(self) -> Image.Image:
        """The decoded RGB image, upright. Raises DataError."""
        with _opened(self.path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")

    def size(self) -> tuple[int, int]:
        """(width, height) of what `load` gives, from the header alone. Raises DataError."""
        with _opened(self.path) as image:
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in SIDEWAYS
            return image.size[::-1] if turned else image.size


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is no picture that can be read: {error}") from error


def read(folder: Path, split: str | None = None) -> list[Example]:
    """Every example of `split`, or all of them. Raises DataError for a folder without images, or without that
    split: a folder that is not split is nobody's test set."""
    parts = _parts(folder)
    examples = [example for name, example in parts if split is None or name == split]
    if not examples:
        there = ", ".join(sorted({name for name, _ in parts if name})) or "none"
        raise DataError(f"{folder} has no images in split {split!r}; splits: {there}")
    return examples


def splits(folder: Path) -> set[str]:
    """Their names; empty for a folder that is not split. Raises DataError."""
    return {name for name, _ in _parts(folder) if name}


def judged_split(folder: Path) -> str | None:
    """What a model is judged on where nobody says: "val", or everything where there is no such split. Raises
    DataError."""
    return "val" if "val" in splits(folder) else None


def _parts(folder: Path) -> list[tuple[str, Example]]:
    """(split or "", example) of everything there. Raises DataError without any."""
    manifest = folder / "manifest.csv"
    found = list(_from_manifest(manifest) if manifest.is_file() else _from_folders(folder))
    if not found:
        raise DataError(f"{folder} has no labelled images: expected manifest.csv, or roadwork/ and none/")
    return found


def _from_manifest(manifest: Path) -> Iterable[tuple[str, Example]]:
    with manifest.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            if row.get("label") not in LABELS:
                raise DataError(
                    f"{manifest}:{number}: label {row.get('label')!r} is neither roadwork nor none"
                )
            if not row.get("file"):
                raise DataError(f"{manifest}:{number}: no file is named")
            yield row.get("split") or "", _from_row(manifest.parent, row)


def _from_row(folder: Path, row: dict[str, str]) -> Example:
    path = folder / row["file"]
    return Example(
        path,
        row["label"] == "roadwork",
        row.get("source") or folder.name,
        row.get("sequence") or path.stem,
        row.get("strength") or "",
    )


def _from_folders(folder: Path) -> Iterable[tuple[str, Example]]:
    roots = sorted(each for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []
    for split, root in [("", folder), *((each.name, each) for each in roots if each.name not in LABELS)]:
        for label in LABELS:
            for path in sorted((root / label).rglob("*")):
                if path.suffix.lower() in SUFFIXES:
                    within = path.parent.relative_to(root / label).as_posix()
                    sequence = path.stem if within == "." else within
                    yield split, Example(path, label == "roadwork", folder.resolve().name, sequence)


def grouped_folds(examples: Sequence[Example], count: int, seed: int = 0) -> list[list[Example]]:
    """Split by sequence into `count` folds of about equal numbers of each label; largest sequences first.

    Raises DataError with fewer sequences than folds.
    """
    sequences: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        sequences[example.sequence].append(example)
    if len(sequences) < count:
        raise DataError(f"{len(sequences)} sequences cannot fill {count} folds")
    rng = np.random.default_rng(seed)
    order = sorted(sequences, key=lambda name: (-len(sequences[name]), rng.random()))
    totals = np.zeros((count, 2))
    folds: list[list[Example]] = [[] for _ in range(count)]
    for name in order:
        gain = _label_counts(sequences[name])
        fold = int(np.argmin([_crowding(totals, index, gain) for index in range(count)]))
        folds[fold] += sequences[name]
        totals[fold] += gain
    return folds


def _label_counts(examples: Sequence[Example]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    positive = sum(example.roadwork for example in examples)
    return np.array([len(examples) - positive, positive], dtype=float)


def _crowding(
    totals: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    fold: int,
    gain: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> float:
    """How uneven the folds get when `fold` takes `gain` more."""
    after = totals.copy()
    after[fold] += gain
    return float((after**2).sum())


def two_sided(examples: Sequence[Example]) -> set[str]:
    """Sources that have both labels. What a one-sided source teaches cannot be told from its camera."""
    sides = defaultdict(set)
    for example in examples:
        sides[example.source].add(example.roadwork)
    return {source for source, labels in sides.items() if len(labels) == 2}
