"""The operating point of a cascade that has changed, certified anew: `python -m ....recertify ...`.

Every member judges every labelled image, as in service, and `models.certify.sequence.certify` does the rest.
The images must be a random sample of what is asked (the audit's), and none may have taught a member; each
stands alone. The last line of standard output is a JSON object (`models.learn.adaptation.outcome`)."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from loguru import logger

from models.certify import Certificate, CertificateError
from models.certify.mcc import floor, promise
from models.certify.sequence import certify
from models.certify.traces import Traces
from models.core import Evidence, Tier
from models.description import Description, DescriptionError, decide
from models.imaging.decode import decode
from models.imaging.header import ImageError, Limits
from models.learn.adaptation.items import Item, ItemsError, read
from models.learn.adaptation.outcome import Learned

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "certificate.json"
EPS = 0.05
"""Most of a class that may be answered otherwise than by all members."""
SELECT = 3
"""One image in so many picks the thresholds that are then tested on the others."""
NICE = 19
LIMITS = Limits(bytes=16 * 2**20, pixels=25_000_000)
Build = Callable[["Mapping[str, Any]", str], Tier]


def recertify(
    described: Description, items: Sequence[Item], out: Path, *, build: Build, eps: float = EPS
) -> Learned:
    """Write a certificate to the folder `out` and say whether anybody leaves early by it; only then is it
    `made`. Items that a member cannot judge are left out. Raises ValueError for members that cannot be loaded
    here, DescriptionError for a cascade that cannot be read."""
    tiers = [build({k: v for k, v in spec.items() if k != "memory"}, "cpu") for spec in described.tiers]
    plan, _ = decide(described, [(tier.name, tier.version) for tier in tiers])
    true = [item for item in items if item.gold]
    heard = [(item, said) for item in true if (said := _heard(tiers, item)) is not None]
    parts = ([one for one in heard if _selects(one[0])], [one for one in heard if not _selects(one[0])])
    select, calibrate = (_traces(part, plan.fuse, len(tiers)) for part in parts)
    point = _point(described, tiers)
    found = certify(point, select, calibrate, eps=eps)
    out.mkdir(parents=True, exist_ok=True)
    found.save(out / FILE)
    words = [found.sentence(), *([] if found.never else [promise(found, plan.prior)])]
    return Learned(found.saved > 0, "; ".join(words), _figures(found, len(heard), plan.prior))


def _heard(tiers: Sequence[Tier], item: Item) -> list[Evidence] | None:
    """What all members say; None where one has nothing to say."""
    from models.learn.traces import hear

    try:
        image = decode(item.path.read_bytes(), LIMITS).image
    except (OSError, ImageError) as error:
        logger.warning("the labelled image {} cannot be read: {}", item.key[:12], error)
        return None
    said: list[Evidence] = []
    for tier in tiers:
        boxes = tuple(box for each in said for box in each.boxes)
        evidence, _ = hear(tier, image, boxes)
        if evidence is None or not np.isfinite(evidence.log_odds):
            return None
        said.append(evidence)
    return said


def _traces(heard: Sequence[tuple[Item, list[Evidence]]], fuse: Any, members: int) -> Traces:
    fused = [[fuse(said[: count + 1]) for count in range(members)] for _, said in heard]
    return Traces(
        np.array(fused, np.float64).reshape(len(heard), members),
        np.array([item.roadwork for item, _ in heard], bool),
        np.array([item.group or item.key for item, _ in heard], dtype=np.str_),
    )


def _selects(item: Item) -> bool:
    return int((item.group or item.key)[:8].encode().hex(), 16) % SELECT == 0


def _point(described: Description, tiers: Sequence[Tier]) -> Any:
    from models.certify import Member, OperatingPoint
    from models.fusion import registry

    fusion = registry.load(Path(described.fusion)).digest if described.fusion else "sum"
    return OperatingPoint(described.name, tuple(Member(tier.name, tier.version) for tier in tiers), fusion)


def _figures(found: Certificate, heard: int, prior: float) -> dict[str, float]:
    none, roadwork = found.sides
    whole, least = floor(found, prior)
    return {
        "images": float(heard),
        "saved": round(found.saved, 4),
        "none": float(none.sequences),
        "roadwork": float(roadwork.sequences),
        "mcc_all": round(whole, 4),
        "mcc_least": round(least, 4),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """0 also when nobody may leave early; 1 when it cannot be told, with a sentence."""
    from models.members import load

    options = _parser().parse_args(arguments)
    if options.nice:
        os.nice(NICE)
    try:
        told = json.loads(options.cascade.read_text(encoding="utf-8"))
        described = Description(**{**told, "tiers": tuple(told["tiers"]), "certificate": None})
        found = recertify(described, read(options.items), options.out, build=load, eps=options.eps)
    except (
        ItemsError,
        DescriptionError,
        CertificateError,
        ValueError,
        OSError,
        KeyError,
        TypeError,
    ) as error:
        print(f"nothing is certified: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found.to_json()), flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.learn.adaptation.recertify", description=__doc__)
    parser.add_argument("--items", type=Path, required=True, help="JSON list of labelled images")
    parser.add_argument("--cascade", type=Path, required=True, help="JSON of the cascade that serves")
    parser.add_argument("--out", type=Path, required=True, help=f"folder for {FILE}")
    parser.add_argument("--eps", type=float, default=EPS, help="most of a class that may come out otherwise")
    parser.add_argument("--nice", action="store_true", help="give way to everybody else")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
