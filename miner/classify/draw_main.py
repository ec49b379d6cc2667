"""The drawing child: `python -m miner.classify.draw_main`, a line of JSON in, a line of JSON out.

First line in: {"tier": spec or null, "device", "bytes", "pixels", "side"}. Then {"path", "heat"} per
picture; out {"picture", "heat" (base64 JPEG or null), "width", "height", "note"} or {"error": reason}. It
decodes hostile files, so a crash must be its own and nobody else's. Ends with its input.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from miner.classify.scenes import Unjudged, read_file
from miner.engine import tiers
from models.core import Tier
from models.imaging.header import ImageError, Limits


def main() -> None:
    """Until the input ends. Standard output is ours alone: what libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    config = json.loads(sys.stdin.readline())
    limits = Limits(config["bytes"], config["pixels"])
    tier = cache(partial(tiers.build, config["tier"], config["device"]))
    for line in sys.stdin:
        answers.write(json.dumps(_answer(json.loads(line), limits, config["side"], tier)) + "\n")
        answers.flush()


def _answer(asked: Mapping[str, Any], limits: Limits, side: int, tier: Any) -> dict[str, Any]:
    try:
        data = read_file(Path(asked["path"]), limits)
        return draw(data, limits, side, tier() if asked["heat"] else None)
    except (Unjudged, ImageError) as error:
        return {"error": error.reason}
    except (ValueError, RuntimeError, ArithmeticError, OSError) as error:
        sys.stderr.write(f"{asked['path']!r} cannot be drawn: {error}\n")
        return {"error": "failed"}


def draw(data: bytes, limits: Limits, side: int, tier: Tier | None) -> dict[str, Any]:
    """A picture of at most `side` pixels, and the same under the heat map of `tier`. Raises ImageError and
    whatever the tier raises."""
    from models import explain
    from models.imaging.decode import decode

    decoded = decode(data, limits, side=max(side, getattr(tier, "side", side)))
    picture = explain.thumbnail(decoded.image, side)
    found = explain.saliency(tier, decoded.image) if tier is not None else None
    width, height = decoded.size
    return {
        "picture": _text(explain.jpeg(picture)),
        "heat": _text(explain.jpeg(explain.overlay(picture, found))) if found else None,
        "width": width,
        "height": height,
        "note": ", ".join(decoded.notes),
    }


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


if __name__ == "__main__":
    main()
