"""A manifest, or a folder with roadwork/ and none/ in it: our own layouts, read again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from models.learn.data import DataError, read
from models.learn.importing.row import LayoutError, Row


def ours(folder: Path, source: str) -> Iterator[Row]:
    """Every split; a manifest's own sources stay, those of a plain folder become `source`."""
    try:
        examples = read(folder)
    except DataError as error:
        raise LayoutError(str(error)) from error
    named = (folder / "manifest.csv").is_file()
    for example in examples:
        yield Row(
            example.path.read_bytes(),
            example.roadwork,
            example.source if named else source,
            example.sequence,
            example.path.stem,
            example.strength,
        )
