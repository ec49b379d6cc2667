"""Boxes over a picture, as SVG that stretches with it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from miner.classify.scenes import printable
from models.core import Box
from models.layout import SURE

LATE = 0.7


def frames(boxes: Sequence[Box], width: int, height: int) -> str:
    """Of one view of so many pixels; "" without boxes. Those that are not sure are dashed; best on top."""
    if not boxes:
        return ""
    drawn = "".join(_frame(box, width, height) for box in sorted(boxes, key=lambda box: box.score))
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{len(boxes)} boxes">{drawn}</svg>'


def _frame(box: Box, width: int, height: int) -> str:
    left, top = box.x0 * width, box.y0 * height
    across, down = (box.x1 - box.x0) * width, (box.y1 - box.y0) * height
    size = width / 26
    words = escape(printable(f"{box.label} {box.score:.2f}"))
    kind = "" if box.score >= SURE else ' class="faint"'
    line = top - size / 4 if top > size * 1.2 else top + size
    late = box.x0 > LATE  # its words would leave the picture
    start, anchor = (left + across, ' text-anchor="end"') if late else (left, "")
    return (
        f'<rect{kind} x="{left:.1f}" y="{top:.1f}" width="{across:.1f}" height="{down:.1f}">'
        f"<title>{words}</title></rect>"
        f'<text x="{start:.1f}" y="{line:.1f}" font-size="{size:.1f}"{anchor}>{words}</text>'
    )
