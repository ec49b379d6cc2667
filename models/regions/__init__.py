"""The region member: which parts of a frame look like works, at a higher resolution than the classifier."""

from models.regions.tier import Regions, load_regions

__all__ = ["Regions", "load_regions"]
