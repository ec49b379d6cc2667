"""The certificate: a JSON file that says at which thresholds a cascade may be left early, and on what data.

It holds for one operating point. Whoever serves checks it at the start (`Certificate.check`) and without a
valid one leaves no image early.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from models.certify.point import OperatingPoint

FORMAT = 1
CLASSES = ("none", "roadwork")


class CertificateError(ValueError):
    """The file is not a certificate; the message names it."""


@dataclass(frozen=True, slots=True)
class Exit:
    """After `tier` spoke: answer roadwork at a fused log-odds >= `upper`, none at <= `lower`, else go on.

    `lower` < 0 < `upper`; infinite means never on that side.
    """

    tier: str
    lower: float = -math.inf
    upper: float = math.inf

    def __post_init__(self) -> None:
        if not self.lower < 0 < self.upper:
            raise ValueError(f"{self.tier}: exits at {self.lower} and {self.upper} do not enclose 0")

    @property
    def never(self) -> bool:
        return math.isinf(self.lower) and math.isinf(self.upper)

    def fires(self, log_odds: float) -> bool:
        """Whether to leave here."""
        return log_odds >= self.upper or log_odds <= self.lower


@dataclass(frozen=True, slots=True)
class Side:
    """What was found for one class. Rates are per sequence: see `models.certify.sequence`.

    `sequences` labelled ones with an image of this class; `images` of this class.
    `disagreement` mean share of a sequence's images on which the cascade at these thresholds answered
    otherwise than all members together; `p_value` of "that rate is above eps", 1 when never exiting.
    `exits` share of images that left early. `right` share that all members together got right.
    `needed` sequences that certify when not one image disagrees; `needed_at_rate` the same at the rate
    seen where the strictest thresholds begin to matter, None when that rate is eps or more.
    """

    sequences: int
    images: int
    disagreement: float
    p_value: float
    exits: float
    right: float
    needed: int
    needed_at_rate: int | None


@dataclass(frozen=True, slots=True)
class Certificate:
    """With probability `1 - delta` over the calibration data: for each class, a random sequence's share of
    images of that class on which this cascade decides otherwise than all members together is at most `eps`.

    `point`   the operating point; `exits` in its order, one per tier but the last.
    `data`    sha256 of the calibration rows; `created` UTC, ISO 8601.
    `eps`     (none, roadwork); `sides` (none, roadwork) what was found.
    `saved`   share of the members' cost that the exits saved on the calibration data, both classes weighing
              a half; 0 when never exiting.
    """

    point: OperatingPoint
    exits: tuple[Exit, ...]
    data: str
    eps: tuple[float, float]
    delta: float
    sides: tuple[Side, Side]
    saved: float
    created: str

    def __post_init__(self) -> None:
        expected = [member.name for member in self.point.members[:-1]]
        if [each.tier for each in self.exits] != expected:
            raise ValueError(f"exits must be after {expected}, in this order")
        if not 0 < self.delta < 1 or not all(0 < each < 1 for each in self.eps):
            raise ValueError("eps and delta lie strictly between 0 and 1")

    @property
    def never(self) -> bool:
        """Whether it allows no early exit at all."""
        return all(each.never for each in self.exits)

    def check(self, point: OperatingPoint) -> str | None:
        """Why it is void for `point`, or None when it holds."""
        return self.point.difference(point)

    def without_exits(self) -> Certificate:
        """The same cascade that always asks everybody."""
        return replace(self, exits=tuple(Exit(each.tier) for each in self.exits))

    def sentence(self) -> str:
        """For the operator: what is promised, or why nothing is and what it would take."""
        if self.never:
            return "not certified: " + "; ".join(map(self._missing, (0, 1)))
        most = " / ".join(f"{each:.2%}" for each in self.eps)
        return (
            f"certified: leaves early on {self._share('exits')} (none / roadwork) and differs from all "
            f"members on at most {most}, with {1 - self.delta:.1%} confidence"
        )

    def _share(self, name: str) -> str:
        return " / ".join(f"{getattr(side, name):.0%}" for side in self.sides)

    def _missing(self, label: int) -> str:
        side, eps = self.sides[label], self.eps[label]
        said = f"{side.sequences} labelled sequences of {CLASSES[label]!r}, at eps {eps:.2%} it takes"
        said += f" {side.needed} without any disagreement"
        if side.needed_at_rate is None:
            return said + ", and the disagreement seen is no less than eps"
        return said + f", {side.needed_at_rate} at the rate seen"

    def save(self, path: Path) -> None:
        """Write the file, atomically."""
        data = asdict(self) | {"format": FORMAT, "hash": self.point.hash, "says": self.sentence()}
        data["exits"] = [_plain(each) for each in self.exits]
        draft = path.with_name(path.name + ".part")
        draft.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        draft.replace(path)


def load(path: Path) -> Certificate:
    """Read a certificate. Raises CertificateError for a missing, foreign or altered file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        found = _from_json(data)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CertificateError(f"{path}: not a certificate: {error}") from error
    if data.get("format") != FORMAT:
        raise CertificateError(f"{path}: format {data.get('format')}, this program reads {FORMAT}")
    if data.get("hash") != found.point.hash:
        raise CertificateError(f"{path}: the operating point in it is not the one that was certified")
    return found


def _from_json(data: dict[str, Any]) -> Certificate:
    first, second = (Side(**side) for side in data["sides"])
    low, high = data["eps"]
    return Certificate(
        point=OperatingPoint.from_json(data["point"]),
        exits=tuple(_exit(each) for each in data["exits"]),
        data=str(data["data"]),
        eps=(float(low), float(high)),
        delta=float(data["delta"]),
        sides=(first, second),
        saved=float(data["saved"]),
        created=str(data["created"]),
    )


def _plain(exit: Exit) -> dict[str, str | float | None]:
    """JSON has no infinity: never is null."""
    lower, upper = (None if math.isinf(each) else each for each in (exit.lower, exit.upper))
    return {"tier": exit.tier, "lower": lower, "upper": upper}


def _exit(data: dict[str, Any]) -> Exit:
    lower = -math.inf if data["lower"] is None else float(data["lower"])
    upper = math.inf if data["upper"] is None else float(data["upper"])
    return Exit(data["tier"], lower, upper)
