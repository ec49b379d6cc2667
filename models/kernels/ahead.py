"""Kernels compiled for GPUs that are not there: shows that the source is good for them, not how fast it
is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import triton
from triton.backends.compiler import GPUTarget

from models.kernels import entropy, interpreted, multiview, nvfp4, packed, resize

_DTYPE = "bf16"


@dataclass(frozen=True)
class Compiled:
    """`shared` bytes of shared memory and `warps` of a program; `binary` bytes of machine code."""

    kernel: str
    capability: int
    warps: int
    shared: int
    binary: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Source:
    """A kernel, the types of its arguments in order ("*" pointers), and its compile-time sizes."""

    kernel: Any
    types: str
    sizes: Mapping[str, int]


def _sources() -> dict[str, _Source]:
    attention = "i32 i32 i32 i32"
    return {
        "nvfp4 pack": _Source(nvfp4.pack_kernel, f"*{_DTYPE} *fp32 *u8 *u8 i32 i32 i32", {}),
        "nvfp4 unpack": _Source(nvfp4.unpack_kernel, f"*u8 *u8 *fp32 *{_DTYPE} i32 i32 i32", {}),
        "packed attention": _Source(
            packed.packed_kernel,
            f"*{_DTYPE} *u8 *u8 *fp32 *u8 *u8 *fp32 *fp32 *fp32 *fp32 fp32 {attention} i32 i32",
            {"ROWS": 16, "HALF": 64},
        ),
        "multi-view attention": _Source(
            multiview.multiview_kernel,
            f"*{_DTYPE} *{_DTYPE} *{_DTYPE} *{_DTYPE} *i32 *i32 *i32 fp32 {attention} i32",
            {"WIDTH": 128, "SIDE": multiview.TILE},
        ),
        "patch entropy": _Source(
            entropy.entropy_kernel,
            "*u8 *fp32 i32 i32 fp32 fp32 fp32 fp32 i32 i32 fp32",
            {"SIDE": 28, "SPAN": 1024, "BINS": 512},
        ),
        "resize and normalise": _Source(
            resize.resize_kernel,
            f"*u8 *{_DTYPE} *i32 *fp32 *i32 *fp32 i32 i32 i32 i32 i32 i32 fp32 fp32 fp32 fp32 fp32 fp32",
            {},
        ),
    }


def compile_for(capability: int) -> list[Compiled]:
    """All kernels in all their choices of sizes, for a compute capability as 90. Raises RuntimeError in the
    interpreter, which has nothing to compile, and what Triton raises for source that does not compile."""
    if interpreted():
        raise RuntimeError("in the interpreter there is nothing to compile: unset TRITON_INTERPRET")
    target = GPUTarget("cuda", capability, 32)
    return [
        _compile(name, source, config, target)
        for name, source in _sources().items()
        for config in source.kernel.configs
    ]


def _compile(name: str, source: _Source, config: Any, target: Any) -> Compiled:
    function = source.kernel.fn
    sizes = {**source.sizes, **config.kwargs}
    plain = [each for each in function.arg_names if each not in sizes]
    signature = dict(zip(plain, source.types.split(), strict=True))
    signature |= dict.fromkeys(sizes, "constexpr")
    made = triton.compile(
        triton.compiler.ASTSource(function, signature, constexprs=sizes),
        target=target,
        options={"num_warps": config.num_warps, "num_stages": config.num_stages},
    )
    return Compiled(name, target.arch, config.num_warps, made.metadata.shared, len(made.asm["cubin"]))
