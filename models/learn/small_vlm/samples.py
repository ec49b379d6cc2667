"""Views and what can be said about them without a person's help.

A photograph's label gives yes or no and, where the collection calls it "weak" (cones, no works), the cones. A
rendered scene knows which parts of the works can be seen, and on which side.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from models.learn.batches import Stream
from models.learn.regimes import SIDE, to_jpeg
from models.learn.views import vary_colour
from models.scenes import SEEDS_PER_FOLDER, render_traced
from models.vlm.small.words import OBJECTS, SIDES

SMALLEST = 6e-4
"""Share of a picture from which a part of the works counts as visible."""


@dataclass(frozen=True)
class Sample:
    """What a view shows. `objects` of `words.OBJECTS`, largest first; `side` of `words.SIDES` if known."""

    roadwork: bool
    source: str
    objects: tuple[str, ...] = ()
    side: str | None = None


View = tuple[Image.Image, Sample]


def photographed(stream: Stream, count: int) -> Iterator[View]:
    """Training views of the stream; a pasted patch shows works, whatever else is there."""
    for number in range(count):
        example, view = stream.drawn(number)
        weak = example.roadwork and example.strength == "weak"
        objects = ("cones",) if weak else ("works",)
        yield view.image, Sample(view.roadwork, example.source, objects if view.roadwork else ())


def rendered(seed: int, count: int) -> Iterator[View]:
    """Scenes, labels in turn, every other one mirrored, whole, in other light and as a validator's JPEG."""
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        image, trace = render_traced(seed * SEEDS_PER_FOLDER + index, index % 2 == 0)
        if rng.random() < 0.5:
            image, trace = ImageOps.mirror(image), ImageOps.mirror(trace)
        objects, side = described(np.asarray(trace))
        small = vary_colour(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR), rng)
        yield Image.open(io.BytesIO(to_jpeg(small))), Sample(bool(objects), "scenes", objects, side)


def described(trace: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> tuple[tuple[str, ...], str | None]:
    """The objects in a scene's trace (height, width), largest first, and the third where most of them is."""
    counts = np.bincount(trace.ravel(), minlength=len(OBJECTS) + 1)[1:]
    seen = [place for place in np.argsort(-counts, kind="stable") if counts[place] >= SMALLEST * trace.size]
    if not seen:
        return (), None
    across = (trace > 0).sum(axis=0)
    thirds = [part.sum() for part in np.array_split(across, len(SIDES))]
    return tuple(OBJECTS[place] for place in seen), SIDES[int(np.argmax(thirds))]


def sources(samples: Sequence[Sample]) -> dict[tuple[str, bool], list[int]]:
    """(source, roadwork) -> places in `samples`."""
    found: dict[tuple[str, bool], list[int]] = {}
    for place, sample in enumerate(samples):
        found.setdefault((sample.source, sample.roadwork), []).append(place)
    return found
