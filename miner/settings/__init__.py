"""Every setting of the miner: one tree, filled from defaults < .env < environment < dotted flags."""

from miner.settings.tree import (
    Axon,
    Blacklist,
    Data,
    EngineSection,
    Logging,
    Model,
    Neuron,
    Page,
    Section,
    Settings,
    Subtensor,
    Wallet,
    Wire,
)

__all__ = [
    "Axon",
    "Blacklist",
    "Data",
    "EngineSection",
    "Logging",
    "Model",
    "Neuron",
    "Page",
    "Section",
    "Settings",
    "Subtensor",
    "Wallet",
    "Wire",
]
