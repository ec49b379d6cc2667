"""A bar chart as PNG: `python -m models.charts OUT.png` with JSON on standard input.

{"title": text, "bars": [[label, value], ...]} with values of at least 0. A process of its own, because the
daemon's side never imports an image library.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIZE = (1200, 480)
LEFT, RIGHT, TOP, BOTTOM = 90, 30, 60, 50
INK, BAR, GRID, PAPER = "#1c2733", "#2f7d4f", "#d4dae0", "#ffffff"
LABELS = 10
"""Most labels under the bars."""


def bar_chart(title: str, bars: Sequence[tuple[str, float]]) -> Image.Image:
    """RGB picture of SIZE; the tallest bar is the largest value, every bar as wide as the others."""
    image = Image.new("RGB", SIZE, PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((LEFT, 16), title, fill=INK, font=ImageFont.load_default(22))
    top = max((value for _, value in bars), default=0.0) or 1.0
    for share in (0.0, 0.5, 1.0):
        y = _y(share)
        draw.line((LEFT, y, SIZE[0] - RIGHT, y), fill=GRID)
        draw.text(
            (LEFT - 10, y), f"{share * top:.4g}", fill=INK, font=ImageFont.load_default(15), anchor="rm"
        )
    step = (SIZE[0] - LEFT - RIGHT) / max(1, len(bars))
    every = -(-len(bars) // LABELS) or 1
    for number, (label, value) in enumerate(bars):
        left = LEFT + number * step
        draw.rectangle((left + step * 0.1, _y(value / top), left + step * 0.9, _y(0)), fill=BAR)
        if number % every == 0:
            place = (left + step / 2, SIZE[1] - BOTTOM + 8)
            draw.text(place, label, fill=INK, font=ImageFont.load_default(15), anchor="mt")
    return image


def _y(share: float) -> float:
    return SIZE[1] - BOTTOM - share * (SIZE[1] - BOTTOM - TOP)


def main() -> None:
    asked = json.load(sys.stdin)
    bar_chart(asked["title"], [(label, value) for label, value in asked["bars"]]).save(
        Path(sys.argv[1]), "PNG"
    )


if __name__ == "__main__":
    main()
