"""A layout in one English sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.layout import Layout
from models.taper import Taper

NAMES = {
    "cone": ("cone", "cones"),
    "drum": ("drum", "drums"),
    "barrier": ("barrier", "barriers"),
    "sign": ("sign", "signs"),
    "machine": ("machine", "machines"),
    "worker": ("worker", "workers"),
    "works": ("patch of works", "patches of works"),
}
"""In the order in which they are told."""
STAGES = {"planned": "Announced", "active": "Seen", "ended": "Ended", "none": "Seen"}
"""No claim that there are works: that is the probability's to say."""


def sentence(layout: Layout, views: int = 1) -> str:
    """What is seen in a scene of so many `views`; "" for an empty layout."""
    if not layout.counts:
        return ""
    parts = [_things(layout.counts), *_narrowing(layout.taper), *_place(layout), *_views(layout, views)]
    return f"{STAGES[layout.stage]}: {', '.join(parts)}."


def _things(counts: Mapping[str, int]) -> str:
    return _listed([f"{counts[kind]} {NAMES[kind][counts[kind] > 1]}" for kind in NAMES if counts.get(kind)])


def _narrowing(taper: Taper | None) -> list[str]:
    return [f"a line of {taper.devices} narrows the road from the {taper.side}"] if taper else []


def _place(layout: Layout) -> list[str]:
    """Of the view with the largest area: elsewhere it is smaller because it is farther off."""
    areas = [view.area for view in layout.views if view.area is not None]
    if not areas:
        return []
    largest = max(areas, key=lambda area: (area.x1 - area.x0) * (area.y1 - area.y0))
    return [f"{largest.where}, {largest.how_far}"]


def _views(layout: Layout, views: int) -> list[str]:
    if views < 2 or not layout.views:
        return []
    numbers = [str(view.view + 1) for view in layout.views]
    seen = f"in view{'s' if len(numbers) > 1 else ''} {_listed(numbers)} of {views}"
    joined = [f"going on from view {left + 1} to {right + 1}" for left, right in layout.joined]
    return [seen, *joined]


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
