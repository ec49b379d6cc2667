"""Draws the golden set of hot swaps: `python -m models.scenes.golden FOLDER [COUNT]`. Development only.

Plain scenes, half of them with works; file names say which: `roadwork-00.jpg`, `none-01.jpg`."""

from __future__ import annotations

import argparse
from pathlib import Path

from models.scenes import render

SIDE = 224
QUALITY = 82
FIRST = 2
"""Seed 1 is a street that even the embedded cascade finds hard."""


def draw(folder: Path, count: int) -> list[Path]:
    """The files, in order; drawn anew each time, the same each time."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_drawn(folder, seed) for seed in range(FIRST, FIRST + count)]


def _drawn(folder: Path, seed: int) -> Path:
    roadwork = seed % 2 == 0
    path = folder / f"{'roadwork' if roadwork else 'none'}-{seed:02d}.jpg"
    render(seed, roadwork=roadwork).resize((SIDE, SIDE)).save(path, quality=QUALITY)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int, nargs="?", default=12)
    arguments = parser.parse_args()
    draw(arguments.folder, arguments.count)


if __name__ == "__main__":
    main()
