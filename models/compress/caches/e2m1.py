"""NVFP4: four-bit numbers that share an eight-bit scale by sixteen and one float by tensor.

Element     E2M1: bit 3 the sign, bits 2..0 the place in `MAGNITUDES`. Two to a byte, the even one in the low
            nibble.
Block       16 elements in a row of the last axis, with one scale in FP8 E4M3 (not negative, 448 at most).
Tensor      one FP32 scale g. A value is magnitude * block scale * g: 4 + 8 / 16 = 4.5 bits an element.

    g = amax(tensor) / (6 * 448)
    s = e4m3(clamp(amax(block) / (6 * g), LEAST_SCALE, 448))
    code = nearest E2M1 to clamp(x / (s * g), -6, 6), ties to the even mantissa

What implementations do differently, and we: the least scale is the smallest subnormal, 2^-9 (the smallest
normal elsewhere); a block of zeros has that scale and zero codes, so it reads back as zeros; a tensor of
zeros has g = 1; x is divided, not multiplied by a reciprocal; the product s * g is rounded to FP32 once, on
both ways.

Written from the format's published description; `models.kernels.nvfp4` does the same on a GPU, bit for bit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.compress.packing import codes_of, nibbles

MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
BOUNDS = (0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0)
"""Half-way between neighbours; the ones at even places of this list fall down to an even code."""
BLOCK = 16
LARGEST, LARGEST_SCALE, LEAST_SCALE = 6.0, 448.0, 2.0**-9


def tensor_scale(states: Tensor) -> Tensor:
    """g of each row: FP32 [B, 1, ..., 1] of states [B, ...]. One a row, so that rows of a batch do not
    mix."""
    most = states.abs().flatten(1).amax(1).float() / (LARGEST * LARGEST_SCALE)
    most = torch.where(most > 0, most, torch.ones_like(most))
    return most.view(-1, *[1] * (states.dim() - 1))


def encode(states: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """uint8 codes [..., d / 2] and uint8 block scales [..., d / 16] of states [..., d]; `scale` broadcasts to
    [..., 1]. Raises ValueError when d is no multiple of 16."""
    width = states.shape[-1]
    if width % BLOCK:
        raise ValueError(f"NVFP4 takes blocks of {BLOCK}: {width} elements in a row are no multiple of it")
    blocks = _blocks(states.float())
    wanted = blocks.abs().amax(-1) / (LARGEST * scale)
    stored = wanted.clamp(LEAST_SCALE, LARGEST_SCALE).to(torch.float8_e4m3fn)
    scaled = blocks / (stored.float() * scale)[..., None]
    return nibbles(nearest(scaled).flatten(-2)), stored.view(torch.uint8)


def decode(codes: Tensor, scales: Tensor, scale: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """[..., d] in `dtype`, of what `encode` gave; computed in FP32."""
    table = torch.tensor([*MAGNITUDES, *(-each for each in MAGNITUDES)], device=codes.device)
    blocks = _blocks(table[codes_of(codes).int()])
    return (blocks * (e4m3(scales) * scale)[..., None]).flatten(-2).to(dtype)


def nearest(scaled: Tensor) -> Tensor:
    """uint8 codes 0..15 of FP32 numbers: the nearest E2M1, ties to the even one, beyond 6 the largest. Minus
    zero is zero."""
    size = scaled.abs()
    code = torch.zeros_like(size, dtype=torch.uint8)
    for place, bound in enumerate(BOUNDS):
        code += (size > bound) if place % 2 == 0 else (size >= bound)
    return code | ((scaled < 0) & (code > 0)).to(torch.uint8) << 3


def e4m3(stored: Tensor) -> Tensor:
    """FP32 of FP8 E4M3 bytes without a sign, 0..126, by integers: exact, and the same wherever FP8 is
    unknown."""
    exponent, mantissa = stored.int() >> 3, stored.int() & 7
    normal = torch.ldexp((8 + mantissa).float(), exponent - 10)
    return torch.where(exponent == 0, mantissa * 2.0**-9, normal)


def _blocks(states: Tensor) -> Tensor:
    return states.reshape(*states.shape[:-1], states.shape[-1] // BLOCK, BLOCK)
