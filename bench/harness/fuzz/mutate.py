"""Cheap changes to bytes, the kind that parsers fall over."""

from __future__ import annotations

from random import Random

ODD_BYTES = b"\x00\x01\x7f\x80\xfe\xff\r\n\t \"'{}[]\\,:;=%-.0e"
ODD_NUMBERS = tuple(
    number.to_bytes(size, order)
    for size, values in {
        2: (0, 1, 0x7FFF, 0x8000, 0xFFFF),
        4: (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF),
    }.items()
    for number in values
    for order in ("big", "little")
)
MOST = 1 << 20
"""A mutated case is cut to this many bytes: larger ones cost time and find the same."""


def mutate(data: bytes, rng: Random, other: bytes = b"") -> bytes:
    """One to eight changes; `other` is what may be spliced in."""
    out = bytearray(data)
    for _ in range(min(8, 1 + int(rng.expovariate(0.6)))):
        rng.choice(CHANGES)(out, rng, other)
    return bytes(out[:MOST])


def _flip(out: bytearray, rng: Random, other: bytes) -> None:
    if out:
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)


def _odd(out: bytearray, rng: Random, other: bytes) -> None:
    if out:
        out[rng.randrange(len(out))] = rng.choice(ODD_BYTES)


def _number(out: bytearray, rng: Random, other: bytes) -> None:
    at, number = rng.randrange(len(out) + 1), rng.choice(ODD_NUMBERS)
    out[at : at + len(number)] = number


def _early(out: bytearray, rng: Random, other: bytes) -> None:
    """Most of what a format decides by stands in its first bytes."""
    if out:
        out[rng.randrange(min(64, len(out)))] = rng.randrange(256)


def _cut(out: bytearray, rng: Random, other: bytes) -> None:
    del out[rng.randrange(len(out) + 1) :]


def _drop(out: bytearray, rng: Random, other: bytes) -> None:
    start = rng.randrange(len(out) + 1)
    del out[start : start + _length(rng, len(out))]


def _repeat(out: bytearray, rng: Random, other: bytes) -> None:
    start = rng.randrange(len(out) + 1)
    part = out[start : start + _length(rng, len(out))]
    out[start:start] = part * rng.choice((1, 1, 2, 16))


def _noise(out: bytearray, rng: Random, other: bytes) -> None:
    at = rng.randrange(len(out) + 1)
    out[at:at] = rng.randbytes(_length(rng, 64))


def _splice(out: bytearray, rng: Random, other: bytes) -> None:
    if other:
        start = rng.randrange(len(other))
        at = rng.randrange(len(out) + 1)
        part = other[start : start + _length(rng, len(other))]
        out[at : at + (len(part) if rng.random() < 0.5 else 0)] = part


CHANGES = (_flip, _flip, _odd, _number, _early, _cut, _drop, _repeat, _noise, _splice)


def _length(rng: Random, most: int) -> int:
    """Short more often than long."""
    return min(most, 1 + int(rng.expovariate(1 / 12) if rng.random() < 0.8 else rng.random() * most))
