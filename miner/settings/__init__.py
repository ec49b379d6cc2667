"""Every setting of the miner: one tree, filled from defaults < env file < environment < dotted flags."""

from miner.settings.load import as_flags, load
from miner.settings.sources import SettingsError
from miner.settings.text import describe, help_page, version
from miner.settings.tree import (
    Alerts,
    Axon,
    Blacklist,
    CascadeSection,
    Data,
    EngineSection,
    Logging,
    Model,
    Neuron,
    Page,
    RegistrySection,
    Rewards,
    Section,
    Servers,
    Settings,
    Subtensor,
    Wallet,
    Wire,
)

__all__ = [
    "Alerts",
    "Axon",
    "Blacklist",
    "CascadeSection",
    "Data",
    "EngineSection",
    "Logging",
    "Model",
    "Neuron",
    "Page",
    "RegistrySection",
    "Rewards",
    "Section",
    "Servers",
    "Settings",
    "SettingsError",
    "Subtensor",
    "Wallet",
    "Wire",
    "as_flags",
    "describe",
    "help_page",
    "load",
    "version",
]
