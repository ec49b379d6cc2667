"""How many tokens an image becomes: one formula per family of image processors.

Counts are of the tokens the language tower sees. Begin and end marks (one or two per image) are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Rule = Literal["none", "fixed", "grid", "closest", "cover", "area"]


@dataclass(frozen=True, slots=True)
class Visual:
    """The rule of one image processor.

    "fixed"    always `fixed` tokens (Llama 3.2 Vision pads every image to four tiles).
    "grid"     one token per `unit` x `unit` px after rounding the sides and keeping the area within
               `least` and `most` px (Qwen's smart resize, also VideoLLaMA3).
    "closest"  the grid of tiles, at most `limit`, nearest in shape to the image (InternVL, DeepSeek-VL2).
    "cover"    as few tiles as cover the image, at most `limit` (Llama 4, Phi-4, Molmo).
    "area"     as many slices as the area asks for (MiniCPM-V).
    Tiles are `unit` px wide and give `per_tile` tokens, `per_row` more for each row of tiles, one more tile
    as `thumbnail` when there are several, and `fixed` for the overview that some processors always add.
    `patches` is the vision tower's patches per token: what the tower computes on before it merges.
    """

    rule: Rule = "none"
    unit: int = 0
    per_tile: int = 0
    per_row: int = 0
    limit: int = 1
    thumbnail: bool = False
    fixed: int = 0
    least: int = 0
    most: int = 0
    patches: float = 1.0

    def tokens(self, width: int, height: int) -> int:
        """Visual tokens of one image of this size in pixels. Raises ValueError for an empty image."""
        if width < 1 or height < 1:
            raise ValueError(f"an image has at least one pixel, not {width} x {height}")
        if self.rule in ("none", "fixed"):
            return self.fixed
        if self.rule == "grid":
            return self._grid(width, height)
        columns, rows = self._tiles(width, height)
        tiles = columns * rows
        extra = 1 if self.thumbnail and tiles > 1 else 0
        return self.fixed + self.per_tile * (tiles + extra) + self.per_row * rows

    @property
    def per_view(self) -> int:
        """Tokens of a 224 px view, the size that validators send."""
        return self.tokens(224, 224)

    @property
    def per_megapixel(self) -> int:
        """Tokens of a 1000 x 1000 px image."""
        return self.tokens(1000, 1000)

    def _grid(self, width: int, height: int) -> int:
        columns, rows = max(1, round(width / self.unit)), max(1, round(height / self.unit))
        area = columns * rows * self.unit**2
        if area > self.most:
            shrink = math.sqrt(width * height / self.most)
            columns, rows = (max(1, math.floor(side / shrink / self.unit)) for side in (width, height))
        elif area < self.least:
            grow = math.sqrt(self.least / (width * height))
            columns, rows = (math.ceil(side * grow / self.unit) for side in (width, height))
        return columns * rows

    def _tiles(self, width: int, height: int) -> tuple[int, int]:
        if self.rule == "closest":
            return self._closest(width, height)
        if self.rule == "cover":
            return self._fit(math.ceil(width / self.unit), math.ceil(height / self.unit))
        slices = min(self.limit, math.ceil(width * height / self.unit**2))
        return slices, 1

    def _fit(self, columns: int, rows: int) -> tuple[int, int]:
        """Shrink a grid, longer side first, until it has at most `limit` tiles."""
        while columns * rows > self.limit:
            columns, rows = (columns - 1, rows) if columns >= rows else (columns, rows - 1)
        return columns, rows

    def _closest(self, width: int, height: int) -> tuple[int, int]:
        """Nearest aspect ratio; among equals the largest grid that the image fills by more than half."""
        best, nearest = (1, 1), math.inf
        for tiles in range(1, self.limit + 1):
            for columns in (c for c in range(1, tiles + 1) if tiles % c == 0):
                grid = (columns, tiles // columns)
                off = abs(width / height - grid[0] / grid[1])
                filled = width * height > 0.5 * self.unit**2 * tiles
                if off < nearest or (off == nearest and filled):
                    best, nearest = grid, off
        return best
