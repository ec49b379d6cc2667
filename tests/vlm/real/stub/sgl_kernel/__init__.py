"""Stands in for `sglang-kernel` without CUDA and AMX: only what SGLang 0.5.23 asks of it there.

SGLang's own `forward_native` does the arithmetic; one function here is real, the rest is never called on this
path and says so loudly if it is. The names are private to SGLang: another version needs another stub.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import torch

__version__ = "0.4.10"

NEVER_CALLED = (
    "copy_all_layer_kv_cache_cpu",
    "rotate_input_ids_cpu",
    "fill_accept_out_cache_loc_cpu",
    "fill_bonus_tokens_cpu",
    "assign_draft_cache_locs_contiguous_cpu",
    "assign_extend_cache_locs_cpu",
    "build_tree_kernel_efficient_cpu",
    "verify_tree_greedy_cpu",
)
LOOKED_UP_AT_IMPORT = (
    "fused_sigmoid_mul_cpu",
    "fused_qk_gemma_rmsnorm_cpu",
    "fused_qk_gemma_rmsnorm_with_gate_cpu",
    "fused_qkvzba_split_reshape_cat_contiguous_cpu",
    "fused_qkvzba_split_reshape_cat_cpu",
    "fused_gdn_gating_cpu",
    "fused_sigmoid_gating_delta_rule_update_cpu",
    "fused_moe_router_cpu",
    "rmsnorm_cpu",
    "fused_dual_residual_rmsnorm_cpu",
)
FACTORIES = ("tensor", "empty", "zeros", "full", "ones", "arange", "empty_like", "zeros_like")


def assign_req_to_token_pool_cpu(
    rows: torch.Tensor,
    pool: torch.Tensor,
    starts: torch.Tensor,
    ends: torch.Tensor,
    places: torch.Tensor,
    _width: int,
) -> None:
    """Write each request's new KV places into its row of the pool."""
    done = 0
    for row, start, end in zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True):
        pool[row, start:end] = places[done : done + end - start].to(pool.dtype)
        done += end - start


def rotated(
    q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotary position embedding of the vision tower, in float32."""
    cos, sin = cos.unsqueeze(-2).float(), sin.unsqueeze(-2).float()
    return tuple((x.float() * cos + _half_turned(x.float()) * sin).to(x.dtype) for x in (q, k))  # type: ignore


def _half_turned(x: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


def __getattr__(name: str) -> Callable[..., NoReturn]:
    """Anything else can be imported, and fails with its name when it is called."""
    if name.startswith("__"):
        raise AttributeError(name)

    def absent(*_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError(f"the stub has no sgl_kernel.{name}: SGLang took a path of another device")

    return absent


def _unpinned(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Pinned memory needs an accelerator; LoRA layers ask for it regardless."""

    def made(*args: Any, **options: Any) -> torch.Tensor:
        options.pop("pin_memory", None)
        return make(*args, **options)

    return made


def _declare() -> torch.library.Library:
    library = torch.library.Library("sgl_kernel", "FRAGMENT")
    for name in LOOKED_UP_AT_IMPORT:
        library.define(f"{name}(Tensor x) -> Tensor")
    library.define("init_cpu_threads_env(str cores) -> str")
    library.impl("init_cpu_threads_env", lambda _: "stub", "CompositeExplicitAutograd")
    library.define("apply_rotary_pos_emb_cpu(Tensor q, Tensor k, Tensor cos, Tensor sin) -> (Tensor, Tensor)")
    library.impl("apply_rotary_pos_emb_cpu", rotated, "CPU")
    return library


for _name in NEVER_CALLED:
    globals()[_name] = __getattr__(_name)
for _name in FACTORIES:
    setattr(torch, _name, _unpinned(getattr(torch, _name)))
torch.Tensor.pin_memory = lambda self, *_, **__: self  # type: ignore[method-assign, assignment]
_OPS = _declare()
