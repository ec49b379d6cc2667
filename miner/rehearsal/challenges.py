"""Draws challenges from labelled pictures: half of them roadwork, in the subnet's input regimes."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Regime = Literal["augmented", "letterbox", "native"]
REGIMES: tuple[Regime, ...] = get_args(Regime)
LABELS = {"none": 0, "roadwork": 1}
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
SCENES = 200
"""How many scenes are rendered when no pictures are at hand."""
REAL_IMAGES = Path(__file__).resolve().parents[3] / "shared" / "data" / "val"
"""Beside the repository, where real labelled pictures lie if there are any."""


class NoImages(ValueError):
    """A folder does not hold pictures of both labels; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """`image` JPEG; `label` 1 roadwork, 0 none; `level` of distortion 0-3, or -1; `source` a file name."""

    number: int
    image: bytes
    label: int
    regime: Regime
    level: int
    source: str


class Draws:
    """Challenge `number` is a pure function of pictures, regimes, seed and number: any thread may draw it."""

    def __init__(
        self, pictures: Mapping[int, list[Path]], regimes: Sequence[Regime] = REGIMES, seed: int = 0
    ) -> None:
        self._pictures = pictures
        self._regimes = regimes
        self.seed = seed

    def draw(self, number: int) -> Challenge:
        """Raises ImageError (of models.imaging) for a file that is no picture, OSError for a lost one."""
        from models.learn.challenge import compose

        rng = random.Random(f"{self.seed}/{number}")
        label = rng.randrange(2)
        regime = rng.choice(self._regimes)
        path = rng.choice(self._pictures[label])
        image, level = compose(regime, path.read_bytes(), rng.getrandbits(63))
        return Challenge(number, image, label, regime, level, path.name)


def pictures_in(folder: Path) -> dict[int, list[Path]]:
    """Label -> its pictures, sorted; the folder holds `roadwork/` and `none/`. Raises NoImages."""
    found = {label: _pictures(folder / name) for name, label in LABELS.items()}
    empty = [name for name, label in LABELS.items() if not found[label]]
    if empty:
        raise NoImages(
            f"{folder} needs pictures in its sub-folders none/ and roadwork/; {empty[0]}/ has none"
        )
    return found


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def default_images(data: Path, say: Callable[[str], None] = lambda text: None) -> Path:
    """The real pictures beside the repository, else scenes rendered once into `data`/scenes."""
    return REAL_IMAGES if REAL_IMAGES.is_dir() else rendered_scenes(data / "scenes", say=say)


def rendered_scenes(
    folder: Path, count: int = SCENES, say: Callable[[str], None] = lambda text: None
) -> Path:
    """The folder, with `count` rendered scenes in it: a twelfth of a second each, the first time."""
    if not folder.is_dir():
        from models.scenes import write_scenes

        say(f"no pictures at hand: rendering {count} street scenes, this once")
        unfinished = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        write_scenes(unfinished, count, 0)
        unfinished.rename(folder)
    return folder
