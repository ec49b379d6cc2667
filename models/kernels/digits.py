"""E2M1 and E4M3 by integers, for kernels: exact, and the same on GPUs that know neither."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def e4m3_read(byte: tl.tensor) -> tl.tensor:
    """FP32 of int32 bytes 0..126."""
    exponent = byte >> 3
    mantissa = byte & 7
    normal = (((exponent + 120) << 23) | (mantissa << 20)).to(tl.float32, bitcast=True)
    return tl.where(exponent == 0, mantissa.to(tl.float32) * 0.001953125, normal)


@triton.jit
def e4m3_write(value: tl.tensor) -> tl.tensor:
    """int32 byte of FP32 in [2^-9, 448], rounded to nearest, ties to even.

    Below 2^-6 all steps are 2^-9: adding 1.5 * 2^23 rounds to whole steps. Above, the mantissa loses 20 bits.
    """
    bits = value.to(tl.int32, bitcast=True)
    normal = ((bits + 0x7FFFF + ((bits >> 20) & 1)) >> 20) - 960
    small = (value * 512.0 + 12582912.0) - 12582912.0
    return tl.where(value < 0.015625, small.to(tl.int32), normal)


@triton.jit
def e2m1_read(code: tl.tensor) -> tl.tensor:
    """FP32 of int32 codes 0..15."""
    place = code & 7
    larger = ((((place >> 1) + 126) << 23) | ((place & 1) << 22)).to(tl.float32, bitcast=True)
    size = tl.where(place < 2, place.to(tl.float32) * 0.5, larger)
    return tl.where(code > 7, -size, size)


@triton.jit
def e2m1_write(value: tl.tensor) -> tl.tensor:
    """int32 code of FP32: the nearest, ties to even, beyond 6 the largest; minus zero is zero."""
    size = tl.abs(value)
    code = (size > 0.25).to(tl.int32) + (size >= 0.75).to(tl.int32) + (size > 1.25).to(tl.int32)
    code += (size >= 1.75).to(tl.int32) + (size > 2.5).to(tl.int32) + (size >= 3.5).to(tl.int32)
    code += (size > 5.0).to(tl.int32)
    return tl.where((value < 0) & (code > 0), code + 8, code)
