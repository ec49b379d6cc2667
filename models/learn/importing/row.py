"""What an importer yields, whatever it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


class LayoutError(ValueError):
    """The folder or file is not in the layout; the message names what is missing."""


Box = tuple[float, float, float, float]
"""Left, top, right, bottom over the picture's width and height, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled picture. `image` its encoded bytes; `sequence` the drive or upload that it comes from;
    `name` unique in its source, fit for a file's name once made safe; `strength` see `data.Example`; `boxes`
    of works, where the layout has them."""

    image: bytes
    roadwork: bool
    source: str
    sequence: str
    name: str
    strength: str = ""
    boxes: tuple[Box, ...] = ()


Importer = Callable[[Path, str], Iterator[Row]]
"""(folder or file, name of the source) -> rows. Raises LayoutError."""
