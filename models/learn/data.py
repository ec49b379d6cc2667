"""Labelled images on disk, and splits that never part a sequence.

Two layouts: a folder with a `manifest.csv` (columns file, label, source, sequence, split, strength; that
of `../shared/data`), or a plain folder with `roadwork/` and `none/` in it.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

LABELS = ("none", "roadwork")
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


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
        """The decoded RGB image."""
        with Image.open(self.path) as image:
            return image.convert("RGB")


def read(folder: Path, split: str | None = None) -> list[Example]:
    """Every example of `split`, or all of them. Raises DataError for a folder without images."""
    manifest = folder / "manifest.csv"
    found = _from_manifest(manifest) if manifest.is_file() else _from_folders(folder, split)
    examples = [example for name, example in found if split is None or name == split]
    if not examples:
        part = f" in split {split!r}" if split else ""
        raise DataError(
            f"{folder} has no labelled images{part}: expected manifest.csv, or roadwork/ and none/"
        )
    return examples


def _from_manifest(manifest: Path) -> Iterable[tuple[str, Example]]:
    with manifest.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            if row.get("label") not in LABELS:
                raise DataError(
                    f"{manifest}:{number}: label {row.get('label')!r} is neither roadwork nor none"
                )
            yield row["split"], _from_row(manifest.parent, row)


def _from_row(folder: Path, row: dict[str, str]) -> Example:
    return Example(
        folder / row["file"],
        row["label"] == "roadwork",
        row["source"],
        row["sequence"],
        row.get("strength") or "",
    )


def _from_folders(folder: Path, split: str | None) -> Iterable[tuple[str, Example]]:
    root = folder / split if split and (folder / split).is_dir() else folder
    for label in LABELS:
        for path in sorted((root / label).rglob("*")):
            if path.suffix.lower() in SUFFIXES:
                yield split or "", Example(path, label == "roadwork", folder.name, path.stem)


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
