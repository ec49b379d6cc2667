"""A cascade on disk: a folder whose `cascade.json` names its members in order and the files that decide.

{"name": "embedded", "tiers": [{"kind": "classifier"}, ...], "fusion": "fusion.json" or null,
 "certificate": "certificate.json" or null, "audit": 0.01,
 "deferral": {"band": 2.5} or {"file": "deferral.json"} or null}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.cascade import Fuse, Plan
    from models.certify import Certificate, OperatingPoint
    from models.fusion.registry import Fitted

FILE = "cascade.json"
ARBITER = "arbiter"
"""Kind of the members whose word is added to what the others come to (`models.fusion.last_word`)."""
EMBEDDED, SINGLE = "embedded", "single"
"""Words that name a cascade without a folder: the one that comes along, and a lone classifier."""
AUDIT = 0.01


class DescriptionError(ValueError):
    """The folder describes no cascade; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Description:
    """`tiers` specs in the order they are asked; `fusion`, `certificate` files, or None without one; `audit`
    the share of early exits in [0, 1] that ask everybody after all; `band` see `models.cascade.Plan`,
    `deferral` a file of `models.deferral`; both None: only certified exits are taken. `recertified` a
    certificate that was made here, for when `certificate` does not hold."""

    name: str
    tiers: tuple[Mapping[str, Any], ...]
    fusion: str | None = None
    certificate: str | None = None
    audit: float = AUDIT
    band: float | None = None
    deferral: str | None = None
    recertified: str | None = None

    @property
    def arbiters(self) -> frozenset[str]:
        """Names of the members that have the last word."""
        return frozenset(str(tier.get("name", ARBITER)) for tier in self.tiers if tier["kind"] == ARBITER)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; `Description(**...)` is the inverse."""
        return {**asdict(self), "tiers": [dict(tier) for tier in self.tiers]}


def read(folder: Path) -> Description:
    """What the folder says, its file names made absolute. Raises DescriptionError."""
    path = folder / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        tiers = tuple(dict(tier) for tier in found["tiers"])
        files = {kind: _file(folder, found.get(kind)) for kind in ("fusion", "certificate")}
        band, deferral = _deferral(folder, found.get("deferral"))
        audit = float(found.get("audit", AUDIT))
        described = Description(str(found["name"]), tiers, **files, audit=audit, band=band, deferral=deferral)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DescriptionError(f"{path} describes no cascade: {error!r}") from error
    if not tiers or not all("kind" in tier for tier in tiers):
        raise DescriptionError(f"{path} must name tiers, each with its kind")
    if not 0 <= described.audit <= 1:
        raise DescriptionError(f"{path}: audit is a share from 0 to 1, not {described.audit}")
    if band is not None and not band > 0:
        raise DescriptionError(f"{path}: the band of a deferral must be above 0, not {band}")
    return described


def _deferral(folder: Path, found: Mapping[str, Any] | None) -> tuple[float | None, str | None]:
    """(band, file) of one of the two, or of neither."""
    if not found:
        return None, None
    if set(found) not in ({"band"}, {"file"}):
        raise ValueError(f"a deferral has a band or a file, not {', '.join(found)}")
    band = float(found["band"]) if "band" in found else None
    return band, _file(folder, found.get("file"))


def _file(folder: Path, name: str | None) -> str | None:
    if name is None:
        return None
    path = (folder / name).absolute()
    if not path.is_file():
        raise ValueError(f"{name} is not there")
    return str(path)


def decide(described: Description, members: Sequence[tuple[str, str]]) -> tuple[Plan, str | None]:
    """How requests are decided by these members, (name, version) in order, and why nobody leaves early (None
    when somebody may). Reads fusion, certificate and deferral. Raises DescriptionError when one cannot be
    read."""
    from models import deferral
    from models.certify import Member, OperatingPoint, certificate
    from models.fusion import fuse

    try:
        fitted = _fitted(described)
        held = certificate.load(Path(described.certificate)) if described.certificate else None
        deferred = deferral.load(Path(described.deferral)) if described.deferral else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DescriptionError(f"the cascade {described.name!r} cannot be read: {error}") from error
    named = tuple(Member(name, version) for name, version in members)
    fusing, digest = _last_word(described, fitted) if fitted else (fuse, "sum")
    found, why = _planned(described, OperatingPoint(described.name, named, digest), held, fusing)
    band = found.band if described.band is None else described.band
    prior = found.prior if fitted is None else fitted.prior
    return replace(found, band=band, deferral=deferred, prior=prior), why


def unheard(described: Description, members: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Those of the members that are asked although their word decides nothing: the fusion was not fitted on
    them. Raises ValueError and OSError for a fusion that cannot be read."""
    fitted = _fitted(described)
    if fitted is None:
        return ()
    known = {*fitted.members, *described.arbiters}
    return tuple(name for name, _ in members if name not in known)


def _fitted(described: Description) -> Fitted | None:
    from models.fusion import registry

    return registry.load(Path(described.fusion)) if described.fusion else None


def _last_word(described: Description, fitted: Fitted) -> tuple[Fuse, str]:
    """As it was fitted, with its digest; an arbiter that it was not fitted on is heard all the same."""
    from models.fusion.last_word import with_last_word

    strangers = sorted(described.arbiters - set(fitted.members))
    if not strangers:
        return fitted.fuse, fitted.digest
    return with_last_word(fitted.fuse, strangers), "+".join([fitted.digest, *strangers])


def _planned(
    described: Description, point: OperatingPoint, held: Certificate | None, fused: Fuse
) -> tuple[Plan, str | None]:
    """By the certificate that came with the cascade, or else by the one that was made here."""
    from models.cascade import plan
    from models.certify import certificate

    found, why = plan(point, held, fuse=fused, audit=described.audit)
    if why is None:
        return replace(found, source=str(described.certificate)), None
    if described.recertified is None:
        return found, why
    try:
        made = certificate.load(Path(described.recertified))
    except certificate.CertificateError as error:
        return found, f"{why}; {error}"
    ours, void = plan(point, made, fuse=fused, audit=described.audit)
    if void is None:
        return replace(ours, source=described.recertified), None
    return found, f"{why}; the one made here: {void}"
