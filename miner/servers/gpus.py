"""The GPUs of this host as `nvidia-smi` lists them: asked once, never through torch."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from models.residency import GPU
from models.residency.gpus import ADA, BLACKWELL, MIB

QUERY = (
    "nvidia-smi",
    "--query-gpu=index,name,memory.total,compute_cap",
    "--format=csv,noheader,nounits",
)
DRIVER = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
MEMORY = ("nvidia-smi", "--query-gpu=index,memory.total,memory.free", "--format=csv,noheader,nounits")
TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one GPU."""

    total: int
    free: int


async def gpus_here() -> dict[int, GPU]:
    """Index -> GPU; empty where there is no NVIDIA driver. Peaks only say which units exist."""
    return parse(await asyncio.to_thread(_ask, QUERY))


async def driver_here() -> str:
    """Version of the NVIDIA driver; "" where there is none."""
    listed = await asyncio.to_thread(_ask, DRIVER)
    return listed.partition("\n")[0].strip()


async def memory_here() -> dict[int, Memory]:
    """Index -> memory, now."""
    return parse_memory(await asyncio.to_thread(_ask, MEMORY))


def _ask(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def parse_memory(listed: str) -> dict[int, Memory]:
    """From the CSV: `0, 81559, 80900`."""
    found = {}
    for line in listed.splitlines():
        try:
            index, total, free = (int(part) for part in line.split(","))
        except ValueError:
            continue
        found[index] = Memory(total * MIB, free * MIB)
    return found


def parse(listed: str) -> dict[int, GPU]:
    """From the CSV: `0, NVIDIA H100 80GB HBM3, 81559, 9.0`. Lines that are no GPU are passed over."""
    found = {}
    for line in listed.splitlines():
        parts = [part.strip() for part in line.split(",")]
        try:
            index, mib, capability = int(parts[0]), int(parts[2]), round(float(parts[3]) * 10)
        except (ValueError, IndexError):
            continue
        fp8, fp4 = float(capability >= ADA), float(capability >= BLACKWELL)
        found[index] = GPU(parts[1], mib * MIB, 0.0, 1.0, fp8, fp4, capability)
    return found
