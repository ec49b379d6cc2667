"""GPUs as the planner sees them: memory, bandwidth, dense peaks, and which precisions their kernels know.

Memory is what `nvidia-smi` lists as total (MiB); peaks and bandwidths are NVIDIA's data sheets, dense,
without sparsity, SXM parts where there are two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from models.catalog import Precision

MIB = 2**20
ADA, HOPPER, BLACKWELL = 89, 90, 100


@dataclass(frozen=True, slots=True)
class GPU:
    """`memory` in bytes, `bandwidth` in bytes/s, `bf16`, `fp8`, `fp4` in FLOP/s (0: no such units).

    `capability` is the compute capability times ten: 80 Ampere, 89 Ada, 90 Hopper, 100 and 120 Blackwell.
    """

    name: str
    memory: int
    bandwidth: float
    bf16: float
    fp8: float
    fp4: float
    capability: int

    @property
    def peaks(self) -> dict[Precision, float]:
        """FLOP/s by weight precision; weight-only formats compute in bf16."""
        return {
            "bf16": self.bf16,
            "fp8": self.fp8 or self.bf16,
            "int4": self.bf16,
            "nvfp4": self.fp4 or self.bf16,
        }


def _gpu(name: str, mib: int, terabytes: float, bf16: float, fp8: float, fp4: float, capability: int) -> GPU:
    return GPU(name, mib * MIB, terabytes * 1e12, bf16 * 1e12, fp8 * 1e12, fp4 * 1e12, capability)


_KNOWN = (
    _gpu("L4-24", 23_034, 0.300, 121, 242, 0, 89),
    _gpu("RTX4090-24", 24_564, 1.008, 165, 330, 0, 89),
    _gpu("RTX5090-32", 32_607, 1.792, 209, 419, 838, 120),
    _gpu("L40S-48", 46_068, 0.864, 362, 733, 0, 89),
    _gpu("A100-40", 40_960, 1.555, 312, 0, 0, 80),
    _gpu("A100-80", 81_920, 2.039, 312, 0, 0, 80),
    _gpu("RTXPRO6000-96", 97_887, 1.792, 503, 1007, 2015, 120),
    _gpu("H100-80", 81_559, 3.35, 989, 1979, 0, 90),
    _gpu("H200-141", 143_771, 4.8, 989, 1979, 0, 90),
    _gpu("B200-192", 183_359, 8.0, 2250, 4500, 9000, 100),
)
GPUS: dict[str, GPU] = {gpu.name: gpu for gpu in _KNOWN}
ALIASES = {"24": "RTX4090-24", "48": "L40S-48", "80": "H100-80", "96": "RTXPRO6000-96", "141": "H200-141"}
"""A bare size means the commonest card of that size."""


class BadGPUs(ValueError):
    """The text names no GPUs we know; the message lists what it may say."""


class Refusal(ValueError):
    """This hardware cannot do that; the message says why and names the nearest choice that works."""


def parse(text: str) -> tuple[GPU, ...]:
    """GPUs from text like `2xH100-80`, `1x24`, `8xH100`, or a comma-separated mix. Raises BadGPUs."""
    found: list[GPU] = []
    for item in text.split(","):
        match = re.fullmatch(r"\s*(?:(\d+)\s*[xX]\s*)?([A-Za-z0-9][A-Za-z0-9-]*)\s*", item)
        if not match or not 1 <= int(match[1] or 1) <= 64:
            raise BadGPUs(_help(item))
        found += [_named(match[2])] * int(match[1] or 1)
    return tuple(found)


def _named(word: str) -> GPU:
    key = ALIASES.get(word, word).upper()
    exact = [gpu for gpu in GPUS.values() if gpu.name.upper() == key]
    named = exact or [gpu for gpu in GPUS.values() if gpu.name.upper().split("-")[0] == key]
    if not named:
        raise BadGPUs(_help(word))
    return max(named, key=lambda gpu: gpu.memory)


def _help(word: str) -> str:
    known = ", ".join((*GPUS, *ALIASES))
    return f"no GPUs are called {word.strip()!r}: write e.g. 2xH100-80 or 1x24; known: {known}"


def check_kv(gpu: GPU, precision: Precision) -> None:
    """Raises Refusal when the GPU has no kernels for a KV cache of this precision (SGLang 0.5.23)."""
    if precision == "nvfp4" and gpu.capability < BLACKWELL:
        raise Refusal(
            f"an NVFP4 KV cache needs Blackwell (compute capability 10.0 or 12.0); {gpu.name} has "
            f"{gpu.capability / 10:.1f}, and SGLang 0.5.23 does not start: use {_nearest_kv(gpu)}"
        )
    if precision == "fp8" and gpu.capability < ADA:
        raise Refusal(
            f"an FP8 KV cache needs Ada or Hopper (compute capability 8.9 or more); {gpu.name} has "
            f"{gpu.capability / 10:.1f}: use bf16"
        )
    if precision == "int4":
        raise Refusal("no server here keeps an INT4 KV cache: use fp8 or bf16")


def _nearest_kv(gpu: GPU) -> str:
    return "fp8" if gpu.capability >= ADA else "bf16"


def check_weights(gpu: GPU, precision: Precision) -> str:
    """What a weight precision means on this GPU: "" when computed natively, else a remark. Raises Refusal."""
    if gpu.capability < 80:
        raise Refusal(f"{gpu.name} is older than Ampere: the servers here need compute capability 8.0")
    if precision == "nvfp4" and not gpu.fp4:
        return (
            "weight-only: the FP4 weights are unpacked to bf16 (Marlin); memory is saved, arithmetic is not"
        )
    if precision == "fp8" and not gpu.fp8:
        return (
            "weight-only: the FP8 weights are unpacked to bf16 (Marlin); memory is saved, arithmetic is not"
        )
    if precision == "int4":
        return "weight-only: unpacked to bf16; memory is saved, arithmetic is not"
    return ""
