"""Object detectors as tiers of the cascade: what stands where, and how much it speaks for works."""

from models.detector.load import load_detector
from models.detector.tier import Detector

__all__ = ["Detector", "load_detector"]
