"""Which pictures are kept, for whom to look at and to learn from. Off until the operator switches it on."""

from miner.capture.labelled import Labelled, labelled
from miner.capture.seal import SealMissing
from miner.capture.store import NoPicture, picture

__all__ = ["Labelled", "NoPicture", "SealMissing", "labelled", "picture"]
