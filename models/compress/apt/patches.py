"""From an image and its partition to tokens.

A token of scale i is E(the image shrunk by 2^-i, bilinear) + Zero(Conv applied i times to E of the base
patches) + the position table shrunk to that scale's grid. E is the model's own patch projection; Conv is one
layer shared by all scales; Zero is one linear layer that starts at zero, so an untrained model sees resized
patches and nothing else. The table is shrunk by bilinear averaging (the paper says "resampled").
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.compress.apt.packed import Packed
from models.compress.apt.quadtree import Partition


class Coarse(nn.Module):
    """What is new in an adaptive model: the branch that sees a large cell's base patches."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gather = nn.Conv2d(width, width, kernel_size=2, stride=2)
        self.zero = nn.Linear(width, width)
        nn.init.zeros_(self.zero.weight)
        nn.init.zeros_(self.zero.bias)

    def forward(self, base: Tensor, scale: int) -> Tensor:
        """(batch, width, rows >> scale, columns >> scale) of base patches (batch, width, rows, columns)."""
        for _ in range(scale):
            base = self.gather(base)
        branch: Tensor = self.zero(base.movedim(1, -1)).movedim(-1, 1)
        return branch

    @property
    def silent(self) -> bool:
        """Whether it adds nothing yet, so that inference may leave it out."""
        return not (self.zero.weight.any() or self.zero.bias.any())


def tokens(
    pixels: Tensor,
    partition: Partition,
    projection: nn.Conv2d,
    table: Tensor,
    prefix: Tensor | None,
    coarse: Coarse,
) -> Packed:
    """`pixels` (batch, 3, h, w) as the model takes them; `table` (rows, columns, width) of positions;
    `prefix` (p, width), positions added. Order per image: prefix, base patches by row, then larger cells."""
    base = projection(pixels)
    scales = [base.movedim(1, -1) + table]
    for scale, mask in enumerate(partition.masks[1:], start=1):
        scales.append(_at(scale, mask, pixels, base, projection, table, coarse))
    parts, places = [], []
    if prefix is not None:
        batch, count = len(pixels), len(prefix)
        parts.append(prefix.expand(batch, -1, -1).flatten(0, 1))
        image = torch.arange(batch, device=pixels.device).repeat_interleave(count)
        places.append(torch.stack([image, *([torch.full_like(image, -1)] * 3)]))
    for scale, (embedded, mask) in enumerate(zip(scales, partition.masks, strict=True)):
        image, row, column = mask.nonzero(as_tuple=True)
        parts.append(embedded[image, row, column])
        places.append(torch.stack([image, torch.full_like(image, scale), row, column]))
    image, kind, row, column = torch.cat(places, dim=1)
    order = torch.sort(image, stable=True).indices
    lengths = tuple(torch.bincount(image, minlength=len(pixels)).tolist())
    states = torch.cat(parts)[order][None]
    prefixes = 0 if prefix is None else len(prefix)
    return Packed(states, lengths, image[order], kind[order], row[order], column[order], prefixes)


def _at(
    scale: int,
    mask: Tensor,
    pixels: Tensor,
    base: Tensor,
    projection: nn.Conv2d,
    table: Tensor,
    coarse: Coarse,
) -> Tensor:
    """(batch, rows, columns, width) embeddings of every cell of `scale`, chosen or not."""
    rows, columns = mask.shape[1:]
    if not mask.any():
        return base.new_zeros(len(pixels), rows, columns, base.shape[1])
    side = 2**scale
    reach = side * int(projection.kernel_size[0])
    whole = pixels[..., : rows * reach, : columns * reach]
    small = functional.interpolate(whole, scale_factor=1 / side, mode="bilinear", align_corners=False)
    embedded = projection(small)
    if torch.is_grad_enabled() or not coarse.silent:
        embedded = embedded + coarse(base[..., : rows * side, : columns * side], scale)
    cut = table[: rows * side, : columns * side].movedim(-1, 0)[None]
    shrunk = functional.interpolate(cut, (rows, columns), mode="bilinear", antialias=True)
    located: Tensor = (embedded + shrunk).movedim(1, -1)
    return located
