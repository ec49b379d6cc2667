"""Which pictures are asked about, and what became of them."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.core import MAX_VIEWS, Verdict
from models.imaging.header import ImageError, Limits, inspect
from models.layout import Layout, Stage, of_verdict, progression
from models.told import Told, with_words

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

REASONS = {
    "bytes": "the file is too large",
    "pixels": "too many pixels",
    "format": "not a JPEG, PNG or WebP",
    "header": "its header makes no sense",
    "unsupported": "a kind of its format that is not judged",
    "scans": "too many scans",
    "truncated": "the file is cut short",
    "corrupt": "its pixels cannot be decoded",
    "poison": "it crashed the decoder or the model",
    "empty": "no JPEG, PNG or WebP in this folder",
    "missing": "no such file",
    "unreadable": "it cannot be read",
    "views": f"a scene has 1 to {MAX_VIEWS} views",
    "deadline": "no answer in time",
    "failed": "the model failed on it",
    "down": "no model is alive",
    "starting": "no model is ready yet",
    "stopped": "the engine is stopping",
    "busy": "there is too much else to do",
}
"""Why a scene has no verdict -> the same in words."""


class Unjudged(Exception):
    """A scene cannot be judged; `reason` is a key of REASONS or the engine's own word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Scene:
    """One question: its files are views of the same place, in order."""

    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        """For people: printable, whatever bytes the names are made of."""
        return " + ".join(printable(str(file)) for file in self.files)


@dataclass(frozen=True, slots=True)
class Row:
    """A scene with its verdict, or with the reason for which it has none. `told` what a VLM said about it in
    words; `stage` of the works over time, where the scenes are moments of one place."""

    scene: Scene
    verdict: Verdict | None = None
    reason: str = ""
    told: Told | None = None
    stage: Stage | None = None

    @property
    def error(self) -> str:
        """The reason in words; "" when there is a verdict."""
        return REASONS.get(self.reason, self.reason)

    @property
    def layout(self) -> Layout:
        """What stands where, by boxes and words; empty without a verdict."""
        return Layout() if self.verdict is None else with_words(of_verdict(self.verdict), self.told)


def in_series(rows: Sequence[Row]) -> list[Row]:
    """The rows as moments of one place, in order: those that were judged get their stage."""
    judged = [row for row in rows if row.verdict is not None]
    stages = iter(progression([row.layout.stage for row in judged]))
    return [row if row.verdict is None else replace(row, stage=next(stages)) for row in rows]


def find(paths: Sequence[Path], views: Sequence[Sequence[Path]]) -> list[Scene]:
    """A scene per file, in the order given, folders with all below by name; then one per group of views."""
    single = [Scene((file,)) for path in paths for file in _files(path)]
    grouped = [Scene(tuple(file for path in group for file in _files(path))) for group in views]
    return single + grouped


def _files(path: Path) -> Iterator[Path]:
    """The file itself, whatever it is called; of a folder the pictures, hidden ones and links to folders
    left out. A folder without any stands for itself: reading it says so."""
    if not path.is_dir():
        yield path
        return
    found = [Path(at) / name for at, _, names in _walk(path) for name in sorted(names) if _is_picture(name)]
    yield from found or [path]


def _walk(path: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    for at, folders, names in os.walk(path):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        yield at, folders, names


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def read(scene: Scene, limits: Limits) -> tuple[bytes, ...]:
    """The views' bytes, which claim to be images within the limits. Raises Unjudged."""
    if not 1 <= len(scene.files) <= MAX_VIEWS:
        raise Unjudged("views")
    return tuple(read_file(file, limits) for file in scene.files)


def read_file(file: Path, limits: Limits) -> bytes:
    """The same for one file; no more of it is read than the limit says. Raises Unjudged."""
    try:
        if file.is_dir():
            raise Unjudged("empty")
        if file.exists() and not file.is_file():
            raise Unjudged("unreadable")  # a pipe or a device may never end
        with file.open("rb") as stream:
            data = stream.read(limits.bytes + 1)
        inspect(data, limits)
    except FileNotFoundError:
        raise Unjudged("missing") from None
    except (OSError, ValueError) as error:
        raise Unjudged(error.reason if isinstance(error, ImageError) else "unreadable") from None
    return data


def printable(text: str) -> str:
    """Without what would move a terminal's cursor, turn text around or break an encoder."""
    return "".join("�" if unicodedata.category(char)[0] == "C" else char for char in text)
