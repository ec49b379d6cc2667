"""The words every floor shares: Request, Evidence, Verdict, Tier. Imports nothing of ours, nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

MAX_VIEWS = 6
NO_PREDICTION = -1.0
"""What a verdict says when no model at all has spoken: the subnet's own mark for "no answer"."""

BACKGROUND = -1.0
"""Priority of whoever must not be in a validator's way."""


@dataclass(slots=True)
class Request:
    """One question, from the door to the answer. Nobody changes one; it is not frozen, since that takes five
    times as long to make.

    `id`        unique text, the same in every log line, ledger row and metric exemplar.
    `hotkey`    which of our identities was asked; `caller` who asked. Opaque labels on this floor.
    `views`     one to six encoded images (JPEG, PNG or WebP bytes) of the same scene.
    `deadline`  `time.monotonic()` seconds of this host by which the verdict must be out.
    `priority`  larger is served sooner; the wire puts the caller's stake here. Never starves the rest, but
                for those below 0 (`BACKGROUND`), who are served only when nobody else waits.
    `sha256`    of the first view, hex, where it is known already.
    """

    id: str
    hotkey: str
    caller: str
    views: tuple[bytes, ...]
    deadline: float
    priority: float = 0.0
    sha256: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.views) <= MAX_VIEWS:
            raise ValueError(f"a request has 1 to {MAX_VIEWS} views, not {len(self.views)}")


@dataclass(frozen=True, slots=True)
class Box:
    """Something seen at a place.

    `view`   index of the view in its request, from 0.
    `label`  what it is, e.g. "cone"; `score` how sure the tier is, in [0, 1].
    `x0, y0, x1, y1`  left, top, right and bottom edge relative to the view as it was sent, in [0, 1].
    """

    view: int
    label: str
    score: float
    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        if self.view < 0 or not 0 <= self.score <= 1:
            raise ValueError(f"a box has a view from 0 and a score in [0, 1], not {self.view}, {self.score}")
        if not (0 <= self.x0 <= self.x1 <= 1 and 0 <= self.y0 <= self.y1 <= 1):
            raise ValueError(
                f"a box lies within its view, edges in order, not {self.x0, self.y0, self.x1, self.y1}"
            )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one tier says about one request.

    `log_odds`  log(P(roadwork) / P(none)) after that tier's own calibration, natural log, finite.
    `cost_ms`   this request's share of the batch's compute, in milliseconds.
    `features`  what else it noticed, as named finite numbers (e.g. "label_mass"); no verdict needs them.
    `boxes`     where in the views it saw something, best first; empty for tiers that do not look for places.
    """

    tier: str
    version: str
    log_odds: float
    cost_ms: float = 0.0
    features: Mapping[str, float] = field(default_factory=dict, hash=False)
    boxes: tuple[Box, ...] = ()


@dataclass(slots=True)
class Verdict:
    """The answer with its evidence. Nobody changes one; it is not frozen, as a request is not.

    `prediction` P(roadwork) in [0, 1], finite, or `NO_PREDICTION` when no model has spoken.
    `log_odds`   the fused log-odds behind it; None when no model has spoken.
    `path`       tiers in the order they spoke; `certified` whether the exit taken holds a certificate.
    `versions`   tier name -> model version that spoke.
    `ms`         stage name -> milliseconds ("queue", "decode", one per tier, "total").
    `notes`      short machine-readable remarks, e.g. "truncated:0.73", "deadline", "cached".
    `evidence`   tier name -> the log-odds it gave, before fusion.
    `boxes`      what the tiers saw at which place, of all views.
    """

    id: str
    prediction: float
    log_odds: float | None = None
    path: tuple[str, ...] = ()
    certified: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    ms: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)
    boxes: tuple[Box, ...] = ()

    @property
    def spoken(self) -> bool:
        """Whether any model has spoken."""
        return self.log_odds is not None

    def to_json(self) -> dict[str, Any]:
        """A dict of plain JSON types; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Verdict:
        """Rebuild a verdict from `to_json`'s dict (lists become tuples again); one without boxes has none."""
        boxes = tuple(Box(**box) for box in data.get("boxes", ()))
        return cls(**{**data, "path": tuple(data["path"]), "notes": tuple(data["notes"]), "boxes": boxes})


class Tier(Protocol):
    """A local member of the cascade. `prepare` runs in decoding threads, `evidence` in one.

    A tier with `guided` set is prepared with the boxes that others saw in the view as well; one with `joint`
    set gets all views of a request as one item; one with `shrinks` set takes a keyword `share` in (0, 1]: how
    much of a picture's side it may use under load.
    """

    name: str
    version: str

    def prepare(self, image: Any) -> Any:
        """Turn one decoded view (PIL RGB image) into the model's input. Thread-safe."""
        ...

    def evidence(self, batch: Sequence[Any]) -> list[Evidence]:
        """Judge a batch; one Evidence per item, in order. May raise: it is then absent for the batch."""
        ...
