"""Labelled images as a learning run gets them: a JSON file beside the image files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path

from models.learn.data import Example

HELD = 3
"""One group in so many is never trained on: the gate compares champion and challenger there."""
ASIDE = 9
"""One group in so many teaches a fully trained network its temperature and bias, and nothing else."""
GOLD = ("review", "testnet", "validator")
"""Where true labels come from: persons, and those who know."""


class ItemsError(ValueError):
    """The file is not what it should be; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Item:
    """One labelled image.

    `key`     its SHA-256, in hexadecimal digits; `path` the file.
    `source`  who labelled it; `slice` which part of the traffic it belongs to, `month` "2026-11" or so.
    `group`   images that resemble each other (a drive, a place) share it; "" : it stands alone.
    `weight`  above 0, at most 1: how much the label is trusted.
    """

    key: str
    path: Path
    roadwork: bool
    source: str = "review"
    month: str = ""
    slice: str = ""
    group: str = ""
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise ItemsError(
                f"the weight of {self.key[:12]} must be above 0 and at most 1, not {self.weight}"
            )

    @property
    def gold(self) -> bool:
        return self.source in GOLD

    @property
    def held(self) -> bool:
        """Whether nobody may train on it: decided by its group for good, by chance."""
        return self._lot % HELD == 0

    @property
    def aside(self) -> bool:
        """Whether it is kept for calibration; none that is held."""
        return self._lot % ASIDE == 1

    @property
    def _lot(self) -> int:
        digest = blake2b((self.group or self.key).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big")

    def example(self) -> Example:
        return Example(self.path, self.roadwork, self.source, self.group or self.key)


def read(path: Path) -> list[Item]:
    """Paths in the file are relative to it. Raises ItemsError."""
    try:
        found = [Item(**each) for each in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ItemsError(f"{path} is no list of labelled images: {error}") from error
    return [replace(item, path=path.parent / item.path) for item in found]


def write(path: Path, items: Sequence[Item]) -> None:
    """What `read` reads; image files are named relative to `path` where they lie beside it."""
    rows = [{**asdict(item), "path": _relative(item.path, path.parent)} for item in items]
    path.write_text(json.dumps(rows) + "\n", encoding="utf-8")


def _relative(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path.absolute())
