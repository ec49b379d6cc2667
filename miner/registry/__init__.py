"""The models on disk: `DATA/models/<tier>/<version>/`, and who of them serves."""

from miner.registry.door import Refused
from miner.registry.registry import MODELS, NoSuchVersion, Registry, Version
from miner.registry.state import Pointers

__all__ = ["MODELS", "NoSuchVersion", "Pointers", "Refused", "Registry", "Version"]
