"""The embedded members: folders that `models.classifier.load_classifier` and its neighbours read."""

from pathlib import Path

DEFAULT = Path(__file__).parent / "roadwork-mobilenetv2"
EMBEDDED_LICENCE = "MIT (ours; see its model card)"
ENSEMBLE = Path(__file__).parent / "ensemble"
REGIONS = Path(__file__).parent / "regions"
SMALL_VLM = Path(__file__).parent / "small-vlm"
CASCADE = Path(__file__).parent / "cascade"
ZOOM = Path(__file__).parent / "zoom"
