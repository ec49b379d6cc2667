"""What about a machine decides which runtime is fastest on it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

EXTENSIONS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
"""Of the vector extensions, those that runtimes choose kernels by."""


@dataclass(frozen=True, slots=True)
class Machine:
    """`cpu` its name; `has` those of EXTENSIONS that it has, `lacks` the others."""

    cpu: str
    has: tuple[str, ...]

    @property
    def lacks(self) -> tuple[str, ...]:
        return tuple(name for name in EXTENSIONS if name not in self.has)

    @property
    def int8(self) -> bool:
        """Whether it multiplies bytes faster than floats; without, products of bytes may even overflow."""
        return any(name.endswith(("vnni", "int8")) for name in self.has)

    @property
    def bf16(self) -> bool:
        """Whether it multiplies bfloat16 faster than floats; without, it would be emulated."""
        return any(name.endswith("bf16") for name in self.has)


def here() -> Machine:
    """As Linux tells it; elsewhere the name alone, with no extension known."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return Machine(platform.processor() or platform.machine(), ())
    rows = {
        key.strip(): value.strip()
        for key, bar, value in (line.partition(":") for line in info.read_text().splitlines())
        if bar
    }
    flags = rows.get("flags", "").split()
    return Machine(
        rows.get("model name", platform.machine()), tuple(name for name in EXTENSIONS if name in flags)
    )
