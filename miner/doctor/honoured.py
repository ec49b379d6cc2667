"""What the settings ask for: is it installed, is it there, and what may not be meant."""

from __future__ import annotations

from miner.capture.seal import Seal, SealMissing
from miner.doctor.finding import Finding, fail, ok, warn
from miner.engine.backends import impossible
from miner.engine.ray import unreachable
from miner.settings import Settings, SettingsError
from miner.telemetry.traces import check_tracing
from models.imaging.needs import BlurMissing, check_blur


def honoured(settings: Settings) -> Finding:
    """Whether a start would refuse them; a value that no setting takes never comes this far."""
    refused = (
        *_missing(settings),
        impossible(settings.engine.backend, settings.neuron.image_detector_device),
        unreachable(settings.engine.mode),
    )
    refusals = [why for why in refused if why]
    if not refusals:
        return ok("settings", "What the settings ask for can be had here.")
    return fail(
        "settings", ". ".join(refusals) + ".", "Do what it says, or leave the setting out: no start will do."
    )


def notices(settings: Settings) -> Finding:
    """What is allowed and may not be meant."""
    if not settings.notices:
        return ok("notices", "Nothing among the settings looks like a mistake.")
    said = ". ".join(notice.rstrip(".") for notice in settings.notices)
    return warn("notices", f"{said}.", "Nothing, if that is what you mean; else change the setting.")


def _missing(settings: Settings) -> list[str]:
    found = []
    try:
        if settings.capture.encrypt:
            Seal.check()
        if settings.capture.blur:
            check_blur()
        check_tracing(settings.tracing)
    except (SealMissing, BlurMissing, SettingsError) as error:
        found.append(str(error))
    return found
