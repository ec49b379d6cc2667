"""One row of the catalogue: what a model weighs, caches and sees, and who says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from models.catalog.visual import Visual

Role = Literal["classifier", "detector", "light", "medium", "heavy", "views", "arbiter"]
Server = Literal["sglang", "vllm", "lmdeploy", "tensorrt-llm", "in-process", "ultralytics", "api"]
Precision = Literal["bf16", "fp8", "int4", "nvfp4"]

BITS: dict[Precision, float] = {
    "bf16": 16.0,
    "fp8": 8.0 + 32 / (128 * 128),  # blocks of 128 x 128 with one FP32 scale, as in Qwen's releases
    "int4": 4.0 + (16 + 4) / 128,  # AWQ/GPTQ groups of 128: FP16 scale and 4-bit zero point
    "nvfp4": 4.0 + 8 / 16,  # blocks of 16 with one E4M3 scale
}
"""Bits per quantised parameter, scales included."""
KV_BITS: dict[Precision, float] = {"bf16": 16.0, "fp8": 8.0, "nvfp4": 4.5}


@dataclass(frozen=True, slots=True)
class Text:
    """The language tower's shape, as far as memory and arithmetic need it.

    `layers` hold a KV entry per token; `kv_width` is that entry's elements per layer: 2 x KV heads x head
    dim, or the compressed latent of multi-head latent attention. `cross_layers` hold KV of visual tokens only
    (Llama 3.2 Vision). `expert_width` is a routed expert's inner size, 0 for a dense model.
    """

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    latent: int = 0
    cross_layers: int = 0
    expert_width: int = 0

    @property
    def kv_width(self) -> int:
        """Cached elements per token and layer."""
        return self.latent or 2 * self.kv_heads * self.head_dim


@dataclass(frozen=True, slots=True)
class Model:
    """A catalogue row. Sizes are exact parameter counts where `verified`, published figures otherwise.

    `name`        our short name, e.g. "qwen3-vl-8b"; `system` the row of SYSTEMS it belongs to.
    `parameters`  all resident parameters; `active` those a token passes through (embeddings included).
    `kept`        parameters that quantised checkpoints leave in bf16: vision, embeddings, norms, routers.
    `vision`      parameters of the vision tower with its merger.
    `text`        None for models without a language tower: no KV cache.
    `checkpoints` precision -> hub id of a published quantised checkpoint, where we know one.
    `verified`    the whole architecture is counted on the meta device by a test.
    """

    name: str
    system: str
    hub: str
    licence: str
    role: Role
    parameters: int
    servers: tuple[Server, ...]
    verified: bool
    sources: tuple[str, ...]
    revision: str | None = None
    active: int = 0
    kept: int = 0
    vision: int = 0
    text: Text | None = None
    visual: Visual = field(default_factory=Visual)
    checkpoints: dict[Precision, str] = field(default_factory=dict)
    notes: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.kept <= self.parameters or not 0 <= self.active <= self.parameters:
            raise ValueError(f"{self.name}: kept and active parameters are parts of all of them")

    def weight_bytes(self, precision: Precision) -> int:
        """Bytes of weights at a precision: `kept` stays in bf16, the rest takes `BITS` with its scales."""
        return round(2 * self.kept + (self.parameters - self.kept) * BITS[precision] / 8)

    def active_bytes(self, precision: Precision) -> int:
        """Bytes of weights that a single token reads (a long prompt reads all experts)."""
        rest = max(self.active - self.kept, 0)
        return round(2 * min(self.kept, self.active) + rest * BITS[precision] / 8)

    def kv_bytes(self, precision: Precision = "bf16", tensor_parallel: int = 1) -> float:
        """Bytes of KV cache per token on each GPU. Heads are split, and copied where there are too few."""
        if self.text is None:
            return 0.0
        split = 1 if self.text.latent else min(tensor_parallel, self.text.kv_heads)
        return self.text.layers * self.text.kv_width * KV_BITS[precision] / 8 / split
