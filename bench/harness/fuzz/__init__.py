"""Targets for bench/fuzz.py: each makes inputs from a seed and says what became of them, in this process."""

from harness.fuzz.chain import ChainObjects
from harness.fuzz.images import Images
from harness.fuzz.requests import Requests
from harness.fuzz.settings import SettingsTexts
from harness.fuzz.target import Finding, Target

TARGETS: dict[str, type[Target]] = {
    "requests": Requests,
    "images": Images,
    "settings": SettingsTexts,
    "chain": ChainObjects,
}

__all__ = ["TARGETS", "Finding", "Target"]
