"""The operator's page, metrics and health."""

from miner.page.app import create_page
from miner.page.server import PageServer

__all__ = ["PageServer", "create_page"]
