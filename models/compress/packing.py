"""Small numbers as they are stored: two four-bit codes to a byte, and FP8 with a scale to each row."""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST_FP8 = 448.0


def nibbles(codes: Tensor) -> Tensor:
    """uint8 [..., d / 2] of uint8 codes 0..15 [..., d]: the even one in the low nibble."""
    return codes[..., 0::2] | codes[..., 1::2] << 4


def codes_of(packed: Tensor) -> Tensor:
    """uint8 codes [..., d] of `nibbles`."""
    return torch.stack([packed & 15, packed >> 4], dim=-1).flatten(-2)


def fp8_rows(states: Tensor) -> tuple[Tensor, Tensor]:
    """FP8 E4M3 [..., d] and FP32 scales [..., 1] of states [..., d]: a row is its codes times its scale,
    amax / 448, so nothing clips."""
    wide = states.float()
    scale = (wide.abs().amax(-1, keepdim=True) / LARGEST_FP8).clamp(min=torch.finfo(torch.float32).tiny)
    return (wide / scale).clamp(-LARGEST_FP8, LARGEST_FP8).to(torch.float8_e4m3fn), scale
