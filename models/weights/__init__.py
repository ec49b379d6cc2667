"""The embedded members: folders that `models.classifier.load_classifier` and its neighbours read."""

from pathlib import Path

DEFAULT = Path(__file__).parent / "roadwork-mobilenetv2"
REGIONS = Path(__file__).parent / "regions"
