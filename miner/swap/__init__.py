"""Changing models under load: a second engine beside the first, proven, then the two change places."""

from miner.swap.engine import SwappingEngine
from miner.swap.service import SwapService, create_service
from miner.swap.swapper import STEPS, Report, Swapper

__all__ = ["STEPS", "Report", "SwapService", "Swapper", "SwappingEngine", "create_service"]
