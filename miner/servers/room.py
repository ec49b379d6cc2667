"""A server's share of its GPUs, as SGLang takes it: a share of what is free when it loads, not of the GPU."""

from __future__ import annotations

from collections.abc import Mapping

from miner.servers.gpus import Memory
from miner.servers.spec import ServerSpec

GIB = 2**30
CONTEXT = GIB
"""What a process takes of a GPU before it loads anything."""


def static(spec: ServerSpec, memory: Mapping[int, Memory]) -> float:
    """`--mem-fraction-static` that gives it `mem_fraction` of each GPU, whatever else is on it already.

    SGLang 0.5.23 measures what is free after its gate; the fullest GPU decides. Unseen GPUs: as it is.
    """
    shares = [
        spec.mem_fraction * memory[gpu].total / (memory[gpu].free - CONTEXT)
        for gpu in spec.gpus
        if gpu in memory and spec.device == "cuda"
    ]
    return round(max(shares, default=spec.mem_fraction), 3)


def lack(spec: ServerSpec, memory: Mapping[int, Memory], taken: int = 0) -> str:
    """Why it has no room now; empty when it has. `taken` of its GPUs it has already, in bytes."""
    if spec.device != "cuda":
        return ""
    for gpu in (gpu for gpu in spec.gpus if gpu in memory):
        needs = spec.mem_fraction * memory[gpu].total + CONTEXT - taken
        if memory[gpu].free < needs:
            return f"GPU {gpu} has {memory[gpu].free / GIB:.1f} GiB free, its share is {needs / GIB:.1f} GiB"
    return ""
