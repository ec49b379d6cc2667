"""Whether what blurring needs is installed: asked at a start, without loading any of it."""

from __future__ import annotations

import importlib.util


class BlurMissing(Exception):
    """OpenCV with its cascades is not installed; the message says how to get it."""


def check_blur() -> None:
    """Raises BlurMissing."""
    if importlib.util.find_spec("cv2") is None:
        raise BlurMissing(
            "capture.blur needs opencv-python-headless 4.x: pip install 'streetvision-miner[capture]'"
        )
