"""The learner of a miner, and where its cascade looks up what it remembers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from miner.alarms import Alarms
from miner.capture import Labelled as Picture
from miner.capture import labelled
from miner.capture.policy import AUDIT
from miner.learning.certifier import CERTIFICATE, Certifier
from miner.learning.collect import sweep
from miner.learning.learner import MEMORY, TIER, WORK, Learner, Offer, Serving
from miner.learning.process import within
from miner.ledger import Ledger, judged
from miner.ledger.kept import kept
from miner.registry import Refused
from miner.registry.manifest import brought
from miner.settings import Settings
from models.description import Description
from models.weights import DEFAULT, EMBEDDED_LICENCE


def remembering(described: Description, settings: Settings) -> Description:
    """`described`, its first classifier told where labelled pictures are remembered."""
    if not settings.learning.memory:
        return described
    tiers = list(described.tiers)
    for place, spec in enumerate(tiers):
        if spec["kind"] == TIER:
            tiers[place] = {**spec, "memory": str(settings.data.path / MEMORY)}
            return replace(described, tiers=tuple(tiers))
    return described


def serving(described: Description, versions: dict[str, str]) -> Serving | None:
    """The first classifier as it serves now; None when it comes from the hub, or there is none."""
    for spec in described.tiers:
        if spec["kind"] == TIER:
            folder = Path(spec.get("path") or DEFAULT).expanduser()
            return Serving(folder, versions.get(TIER, ""), licence(folder)) if folder.is_dir() else None
    return None


def licence(folder: Path) -> str:
    """Of the model in `folder`: what its manifest states, or ours of the one that ships."""
    try:
        stated = brought(folder)[0].licence
    except Refused:
        return ""
    return stated or (EMBEDDED_LICENCE if folder == DEFAULT else "")


def kinds_of(described: Description) -> dict[str, str]:
    """Tier name -> kind of member."""
    return {str(spec.get("name") or spec["kind"]): str(spec["kind"]) for spec in described.tiers}


def create_learner(
    settings: Settings,
    ledger: Ledger,
    alarms: Alarms,
    *,
    now: Callable[[], tuple[Description, dict[str, str]]],
    offer: Offer,
    drifting: Callable[[bool], None],
) -> Learner:
    """`now` the cascade that serves and its members' versions; `offer` see `SwapService.offer`."""
    section, data = settings.learning, settings.data.path
    sweep(data / WORK)
    return Learner(
        data,
        pictures=partial(labelled, data, reviewers=settings.review.reviewers),
        serving=lambda: serving(*now()),
        offer=offer,
        answered=partial(judged, ledger.path, section.watched),
        ledger=ledger,
        alarms=alarms,
        start=within(section.timeout_s),
        drifting=drifting,
        remembers=section.memory,
        distil=section.distil,
        most=section.items,
        fresh=section.fresh,
        delta=section.drift_delta,
    )


def with_certificate(described: Description, data: Path) -> Description:
    """`described` with the certificate that was made here, if one was, behind the cascade's own: which of
    them holds is seen when it is loaded."""
    path = data / CERTIFICATE
    return replace(described, recertified=str(path)) if path.is_file() else described


def create_certifier(
    settings: Settings,
    ledger: Ledger,
    *,
    now: Callable[[], tuple[Description, str]],
    taught: Callable[[], set[str]],
    adopt: Callable[[Path], Awaitable[str]],
) -> Certifier:
    """`now` the cascade that serves and why nobody leaves early; `taught` pictures that members learned from;
    `adopt` see `SwapService.adopt`."""
    data = settings.data.path

    def sample() -> list[Picture]:
        random = {row.sha256 for row in kept(ledger.path) if AUDIT in row.reason.split(",")}
        known = labelled(data, reviewers=settings.review.reviewers, guesses=False)
        free = random - taught()
        return [one for one in known if one.sha256 in free]

    start = within(settings.learning.timeout_s)
    return Certifier(
        data, pictures=sample, now=now, adopt=adopt, start=start, note=ledger.event, work=data / WORK
    )
