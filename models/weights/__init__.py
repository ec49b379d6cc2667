"""The embedded default: a folder that `models.classifier.load_classifier` reads as it reads any other."""

from pathlib import Path

DEFAULT = Path(__file__).parent / "roadwork-mobilenetv2"
