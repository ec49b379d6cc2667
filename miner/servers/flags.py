"""Whether flags can work on this host's GPUs: refused with a sentence before anything is started."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from miner.servers.spec import ServerSpec
from models.residency import GPU, Refusal, check_kv, check_weights
from models.residency.gpus import BLACKWELL, HOPPER

OURS = {
    "model-path": "model_path", "model": "model_path", "revision": "revision", "served-model-name": "model",
    "host": "host", "port": "port", "gated-launch-port": "gate_port", "device": "device",
    "kv-cache-dtype": "kv", "mem-fraction-static": "mem_fraction", "max-running-requests": "slots",
    "tp-size": "gpus", "tensor-parallel-size": "gpus", "tp": "gpus", "base-gpu-id": "gpus",
    "api-key": "key_env", "admin-api-key": "key_env", "config": "flags",
}  # fmt: skip
"""Flags that a field of the servers file sets."""

GONE = {
    "cuda-graph-max-bs": "use cuda-graph-max-bs-decode",
    "enable-piecewise-cuda-graph": "it was removed; prefill graphs are cuda-graph-backend-prefill",
    "enable-dp-attention": "use attn-dp-size",
    "enable-double-sparsity": "it was removed from SGLang",
    "is-embedding": "an embedding server gives no yes or no",
}
"""Flags of other versions, which SGLang 0.5.23 does not take, or which would make it useless to us."""

OFFLOAD = ("enable-lmcache", "enable-hierarchical-cache", "enable-hicache", "enable-flexkv")
KEY_BUG = (
    "a KV cache outside the GPU is off for pictures: its keys may take two pictures for one "
    "(LMCache issue 4086, open), which would answer one street with another"
)
MOST_STATIC = 0.97
"""Share of a GPU that servers may claim together; the rest is the driver's and the engine's."""


def check(spec: ServerSpec, gpus: Mapping[int, GPU]) -> list[str]:
    """Remarks about a server that can work. Raises Refusal with the reason and the nearest that works."""
    _check_names(spec)
    if spec.device == "cpu":
        return ["on a CPU SGLang is for tests: its speed says nothing"]
    remarks = []
    for gpu in _used(spec, gpus):
        if spec.kv == "nvfp4" or spec.kv == "fp8":
            check_kv(gpu, spec.kv)  # type: ignore[arg-type]
        remarks.append(check_weights(gpu, spec.weights))  # type: ignore[arg-type]
        for rule in RULES:
            rule(spec, gpu)
    return sorted({f"{spec.weights} weights are {remark}" for remark in remarks if remark})


def check_all(
    specs: Sequence[ServerSpec], gpus: Mapping[int, GPU]
) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Name -> why it is refused, of processes here; and (name, remark) of those that are not."""
    refused: dict[str, str] = {}
    remarks: list[tuple[str, str]] = []
    for spec in specs:
        try:
            remarks += [(spec.name, remark) for remark in check(spec, gpus)]
        except Refusal as refusal:
            refused[spec.name] = str(refusal)
    able = [spec for spec in specs if spec.name not in refused and not spec.on_demand]
    return {**check_shares(able), **refused}, remarks


def check_shares(specs: Sequence[ServerSpec]) -> dict[str, str]:
    """Name -> sentence of the servers whose shares of one GPU do not fit together."""
    claimed: dict[int, float] = {}
    refused = {}
    for spec in (one for one in specs if one.here and one.device == "cuda"):
        over = [gpu for gpu in spec.gpus if claimed.get(gpu, 0.0) + spec.mem_fraction > MOST_STATIC]
        if over:
            left = MOST_STATIC - claimed.get(over[0], 0.0)
            refused[spec.name] = (
                f"mem_fraction {spec.mem_fraction:g} of GPU {over[0]} is more than the {max(left, 0):.2f} "
                "that the servers before it leave: lower it, or give it another GPU"
            )
            continue
        for gpu in spec.gpus:
            claimed[gpu] = claimed.get(gpu, 0.0) + spec.mem_fraction
    return refused


def _check_names(spec: ServerSpec) -> None:
    for name in spec.flags:
        flag = name.removeprefix("--").replace("_", "-")
        if flag in OURS:
            raise Refusal(f"--{flag} is not given as a flag: the field {OURS[flag]} sets it")
        if flag in GONE:
            raise Refusal(f"SGLang 0.5.23 does not serve us with --{flag}: {GONE[flag]}")
        if flag in OFFLOAD:
            raise Refusal(f"--{flag} is refused: {KEY_BUG}")


def _used(spec: ServerSpec, gpus: Mapping[int, GPU]) -> list[GPU]:
    missing = [str(index) for index in spec.gpus if index not in gpus]
    if missing:
        seen = ", ".join(f"{index}: {gpu.name}" for index, gpu in gpus.items()) or "none"
        raise Refusal(f"GPU {', '.join(missing)} is not seen by nvidia-smi (seen: {seen})")
    return [gpus[index] for index in spec.gpus]


def _fa3_needs_hopper(spec: ServerSpec, gpu: GPU) -> None:
    for flag in ("attention-backend", "mm-attention-backend"):
        if _flag(spec, flag) == "fa3" and gpu.capability >= BLACKWELL:
            instead = "fa4" if flag.startswith("mm-") else "trtllm_mha"
            raise Refusal(f"--{flag} fa3 does not run on Blackwell ({gpu.name}): use {instead} or none")


def _fp4_gemm_needs_blackwell(spec: ServerSpec, gpu: GPU) -> None:
    backend = str(_flag(spec, "fp4-gemm-backend") or "")
    if backend.startswith("flashinfer") and gpu.capability < BLACKWELL:
        raise Refusal(
            f"--fp4-gemm-backend {backend} needs Blackwell, {gpu.name} is older: use marlin, or leave it out"
        )


def _quantization_needs_units(spec: ServerSpec, gpu: GPU) -> None:
    quantization = _flag(spec, "quantization")
    if quantization in ("nvfp4_online", "mxfp8") and gpu.capability < BLACKWELL:
        nearest = "fp8" if gpu.capability >= HOPPER else "none"
        raise Refusal(f"--quantization {quantization} needs Blackwell, {gpu.name} is older: use {nearest}")


RULES: tuple[Callable[[ServerSpec, GPU], None], ...] = (
    _fa3_needs_hopper,
    _fp4_gemm_needs_blackwell,
    _quantization_needs_units,
)


def _flag(spec: ServerSpec, name: str) -> object:
    given = {key.removeprefix("--").replace("_", "-"): value for key, value in spec.flags.items()}
    return given.get(name)
