"""Parquet files of the hub's image sets, as natix-network-org/roadwork has them (needs the extra "data").

Columns `image` ({"bytes", "path"} or bytes) and `label` (1 roadwork, 0 none). Where there is a
`scene_description`, a row whose label and description clash is left out, as the validators do: works are
described, streets without are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from models.learn.data import LABELS
from models.learn.importing.row import LayoutError, Row

BATCH = 64


def parquet(place: Path, source: str) -> Iterator[Row]:
    """A file, or every `*.parquet` below a folder; a few rows in memory at a time."""
    try:
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        raise LayoutError("parquet files need pyarrow: pip install 'streetvision-miner[data]'") from error
    files = [place] if place.is_file() else sorted(place.rglob("*.parquet"))
    if not files:
        raise LayoutError(f"{place} holds no parquet file")
    for path in files:
        file = ParquetFile(path)
        _check(path, set(file.schema_arrow.names))
        number = 0
        for batch in file.iter_batches(batch_size=BATCH):
            for row in batch.to_pylist():
                number += 1
                if not clashes(row):
                    yield _row(row, source, f"{path.stem}-{number:07d}", path)


def clashes(row: Mapping[str, Any]) -> bool:
    """Whether description and label contradict each other."""
    return "scene_description" in row and _roadwork(row["label"]) != bool(row["scene_description"])


def _roadwork(label: Any) -> bool:
    """1 or 0, or their names. Any other label would be taken for one of them."""
    if isinstance(label, str) and label.casefold() in LABELS:
        return label.casefold() == LABELS[True]
    if label not in (0, 1):
        raise LayoutError(f"label {label!r} is neither 1 (roadwork) nor 0 (none)")
    return bool(label)


def _check(path: Path, names: set[str]) -> None:
    if missing := {"image", "label"} - names:
        raise LayoutError(f"{path} has no column {', '.join(sorted(missing))}")


def _row(row: Mapping[str, Any], source: str, name: str, path: Path) -> Row:
    image = row["image"]
    content = image.get("bytes") if isinstance(image, Mapping) else image
    if not isinstance(content, bytes):
        raise LayoutError(f"{path} holds no picture for {name}, only where it once was")
    return Row(content, _roadwork(row["label"]), source, _place(row) or name, name)


def _place(row: Mapping[str, Any]) -> str:
    """Pictures from within about a hundred metres count as one sequence."""
    latitude, longitude = row.get("latitude"), row.get("longitude")
    return f"{latitude:.3f},{longitude:.3f}" if latitude and longitude else ""
