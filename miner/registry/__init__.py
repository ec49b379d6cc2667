"""The models on disk: `DATA/models/<tier>/<version>/`, and who of them serves."""

from miner.registry.door import Refused
from miner.registry.registry import MODELS, TRAINED, NoSuchVersion, Registry, Version
from miner.registry.state import Pointers, Seen

__all__ = ["MODELS", "TRAINED", "NoSuchVersion", "Pointers", "Refused", "Registry", "Seen", "Version"]
