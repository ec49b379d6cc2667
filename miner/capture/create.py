"""Builds capture from the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from miner.capture.child import Child
from miner.capture.keeper import Keeper
from miner.capture.policy import Rates
from miner.capture.seal import SealMissing
from miner.capture.service import Capture
from miner.capture.shelf import Bounds
from miner.capture.store import Store
from miner.capture.switch import INVITATION, Switch
from miner.disk import Disk
from miner.ledger import Ledger
from miner.ledger.kept import unlabelled
from miner.settings import CaptureSection, Settings, SettingsError
from models.imaging.needs import BlurMissing, check_blur


def create_capture(
    settings: Settings, ledger: Ledger, disk: Disk, note: Callable[[str, Mapping[str, Any]], object]
) -> Capture:
    """Raises SettingsError when what the settings ask for is not installed."""
    section = settings.capture
    return Capture(
        create_keeper(settings, ledger),
        Switch(settings.data.path, enabled=section.enabled, invitation=_invitation(section)),
        disk,
        rates(section),
        most_bytes=section.bytes,
        days=section.days,
        unlabelled=partial(unlabelled, ledger.path),
        note=note,
    )


def create_keeper(settings: Settings, ledger: Ledger) -> Keeper:
    """Raises SettingsError."""
    section, wire = settings.capture, settings.wire
    try:
        if section.blur:
            check_blur()
        store = Store(settings.data.path, encrypt=section.encrypt)
    except (SealMissing, BlurMissing) as error:
        raise SettingsError(str(error)) from error
    return Keeper(
        *(store, ledger, Bounds(section.bytes, section.count, section.days, section.gold_days)),
        Child(side=section.side, blur=section.blur, limits=(wire.image_bytes, wire.pixels)),
        duplicate_bits=section.duplicate_bits,
    )


def rates(section: CaptureSection) -> Rates:
    """The policies' probabilities."""
    return Rates(
        near=section.near_rate,
        disagree=section.disagree_rate,
        drift=section.drift_rate,
        audit=section.audit_rate,
        band=section.near_band,
        margin=section.disagree_margin,
    )


def _invitation(section: CaptureSection) -> str:
    return INVITATION.format(audit=section.audit_rate, gib=section.bytes / 2**30, days=section.days)
