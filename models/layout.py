"""What stands where in a scene of works, from what detectors boxed and what a VLM told: for people to read.

It never moves the probability. Everything is geometry on boxes; without boxes and words it says nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Literal

from models.core import Box, Verdict
from models.taper import Taper, taper

DEVICES = ("cone", "drum", "barrier")
HINTS = (
    ("sign", ("sign", "arrow board", "arrow panel", "message board")),
    ("worker", ("worker", "flagger", "crew", "high-vis")),
    ("machine", ("machine", "excavator", "digger", "roller", "paver", "loader", "dozer", "crane")),
    ("cone", ("cone", "delineator", "tubular", "channelizer", "pylon")),
    ("drum", ("drum", "barrel")),
    ("barrier", ("barrier", "barricade", "fence", "boards")),
    ("works", ("work", "trench", "heap", "excavat", "construction", "rubble", "milled", "hole", "dug")),
)
"""What a label is, by the first kind of which it contains a hint."""

SURE = 0.5
"""Score from which a box is spoken of."""
EDGE = 0.06
"""What lies this close to a view's edge, in its widths, may go on beyond it."""

Stage = Literal["none", "planned", "active", "ended"]


@dataclass(frozen=True, slots=True)
class Area:
    """The smallest rectangle around all that is no sign, relative to the view."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def where(self) -> str:
        middle = (self.x0 + self.x1) / 2
        return "on the left" if middle < 1 / 3 else "on the right" if middle > 2 / 3 else "ahead"

    @property
    def how_far(self) -> str:
        """Near things stand low in a view."""
        return "near" if self.y1 > 0.85 else "at some distance" if self.y1 > 0.6 else "far off"


@dataclass(frozen=True, slots=True)
class ViewLayout:
    """`counts` of each kind in `view`."""

    view: int
    counts: Mapping[str, int]
    taper: Taper | None = None
    area: Area | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """`views` that show something, in order; `joined` pairs of neighbours of which the second goes on where
    the first ends; `stage` as far as one moment tells; `counts` of each kind in the view that shows most."""

    views: tuple[ViewLayout, ...] = ()
    joined: tuple[tuple[int, int], ...] = ()
    stage: Stage = "none"
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def taper(self) -> Taper | None:
        """The longest of any view."""
        found = [view.taper for view in self.views if view.taper is not None]
        return max(found, key=lambda taper: taper.devices, default=None)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types: stage, counts, the longest taper, and by view its counts, taper and area."""
        taper = self.taper
        return {
            "stage": self.stage,
            "counts": dict(self.counts),
            "taper": None if taper is None else asdict(taper),
            "views": [asdict(view) for view in self.views],
            "joined": [list(pair) for pair in self.joined],
        }


def kind(label: str) -> str | None:
    """One of `HINTS`' kinds, or None for what is no part of works."""
    words = label.casefold()
    return next((name for name, hints in HINTS if any(hint in words for hint in hints)), None)


def describe(boxes: Iterable[Box], *, least: float = SURE) -> Layout:
    """The layout of one moment, from the boxes of all views whose score is at least `least`."""
    by_view: dict[int, list[tuple[str, Box]]] = {}
    for box in boxes:
        named = kind(box.label)
        if named is not None and box.score >= least:
            by_view.setdefault(box.view, []).append((named, box))
    views = tuple(_view(number, by_view[number]) for number in sorted(by_view))
    counts = {name: max(view.counts.get(name, 0) for view in views) for name, _ in HINTS} if views else {}
    present = {name: count for name, count in counts.items() if count}
    return Layout(views, tuple(_joined(views)), stage(present), present)


def of_verdict(verdict: Verdict) -> Layout:
    """From the boxes of all tiers that spoke."""
    return describe(verdict.boxes)


def notes(layout: Layout) -> tuple[str, ...]:
    """For `Verdict.notes`: "stage:active", "taper:left"; nothing where nothing is seen."""
    narrows = [] if layout.taper is None else [f"taper:{layout.taper.side}"]
    return (*([] if layout.stage == "none" else [f"stage:{layout.stage}"]), *narrows)


def stage(counts: Mapping[str, int]) -> Stage:
    """Signs alone announce; anything else has begun. Cones left behind cannot be told from cones in use."""
    if any(counts.get(name) for name, _ in HINTS if name != "sign"):
        return "active"
    return "planned" if counts.get("sign") else "none"


def progression(moments: Sequence[Stage]) -> list[Stage]:
    """The stage at each moment of one place, in order of time: what was active and of which at most signs are
    left has ended, until something begins again."""
    stages: list[Stage] = []
    begun = False
    for moment in moments:
        begun = begun or moment == "active"
        over = begun and moment in ("none", "planned")
        stages.append("ended" if over else moment)
    return stages


def _view(number: int, found: Sequence[tuple[str, Box]]) -> ViewLayout:
    counts = Counter(name for name, _ in found)
    stands = [box for name, box in found if name != "sign"]
    devices = [box for name, box in found if name in DEVICES]
    return ViewLayout(number, dict(sorted(counts.items())), taper(devices), _area(stands))


def _area(boxes: Sequence[Box]) -> Area | None:
    if not boxes:
        return None
    edges = zip(*((box.x0, box.y0, box.x1, box.y1) for box in boxes), strict=True)
    x0, y0, x1, y1 = edges
    return Area(min(x0), min(y0), max(x1), max(y1))


def _joined(views: Sequence[ViewLayout]) -> list[tuple[int, int]]:
    """Neighbours in camera order, from left to right, whose areas touch the edge they share."""
    return [
        (left.view, right.view)
        for left, right in pairwise(views)
        if right.view == left.view + 1
        and left.area is not None
        and right.area is not None
        and left.area.x1 >= 1 - EDGE
        and right.area.x0 <= EDGE
    ]
