"""`streetvision-miner classify`: the classifier on one's own pictures, without subnet, wallet or network."""

from miner.classify.command import main

__all__ = ["main"]
