"""`python -m miner plan`: what fits on which GPUs, in sums a reader can follow, and how to start it."""

from miner.plan.command import main

__all__ = ["main"]
