"""One member's memory on each GPU it uses, part by part, and what the rest of it buys in concurrency.

The overheads are assumptions, stated here once: SGLang 0.5.23 keeps back 8 GiB for a large vision model's
activations, and its process and graphs take about two more. They do not depend on the GPU, so more memory
never fits less.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.catalog import Model, Precision, Server
from models.catalog.entry import KV_BITS

GIB = 2**30
PROMPT_TOKENS = 96
"""Instruction, chat template and image marks of the one-token question."""
SIZES = ((1e9, 0.25, 0.0), (10e9, 3.0, 1.0), (50e9, 5.0, 1.5), (float("inf"), 8.0, 2.0))
"""Parameters up to, GiB of activations (vision tower and one prefill chunk), GiB of CUDA graphs."""
PROCESS = 0.75 * GIB
"""CUDA context, libraries and workspaces of one server process on one GPU."""
COLLECTIVES = 0.5 * GIB
"""NCCL buffers on each GPU of a tensor-parallel server."""
PLAIN = 0.25 * GIB
"""A small model in the engine's own process shares its context: batch buffers only, beside `SHARED`."""


@dataclass(frozen=True, slots=True)
class Member:
    """A model as it would be served.

    `tensor_parallel` GPUs share it; `views` images of `side` px and `answer` tokens make one request;
    `concurrency` requests must fit at once. `on_demand`: loaded when asked for, in place of others.
    `inprocess`: in the engine's own process, of whose visual tokens and cache `kept` is the share that stays.
    """

    model: Model
    precision: Precision = "bf16"
    kv: Precision = "bf16"
    tensor_parallel: int = 1
    views: int = 6
    side: int = 224
    answer: int = 1
    concurrency: int = 8
    on_demand: bool = False
    inprocess: bool = False
    kept: float = 1.0

    def __post_init__(self) -> None:
        for name in ("tensor_parallel", "views", "side", "answer", "concurrency"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if not 0 < self.kept <= 1:
            raise ValueError(f"the share kept lies in (0, 1], not {self.kept}")
        if self.kv not in KV_BITS:
            raise ValueError(f"no server here keeps a KV cache in {self.kv}")
        if not splits(self.model, self.tensor_parallel):
            raise ValueError(
                f"{self.model.name} cannot be split among {self.tensor_parallel} GPUs: {why(self)}"
            )

    @property
    def served(self) -> bool:
        """Whether a server of its own runs it."""
        return self.model.text is not None and not self.inprocess

    @property
    def server(self) -> Server:
        """The first server of the row: the one its launch command is for."""
        return self.model.servers[0]

    @property
    def request_tokens(self) -> int:
        """KV entries of one request: prompt, views, answer; cross-attention models keep views elsewhere."""
        text = self.model.text
        visual = 0 if text is None or text.cross_layers else self.visual_tokens
        return PROMPT_TOKENS + visual + self.answer

    @property
    def visual_tokens(self) -> int:
        """Visual tokens of one request."""
        return round(self.kept * self.views * self.model.visual.tokens(self.side, self.side))

    @property
    def request_bytes(self) -> float:
        """KV bytes of one request on each GPU."""
        text = self.model.text
        if text is None:
            return 0.0
        per_token = self.model.kv_bytes(self.kv, self.tensor_parallel)
        cross = per_token / text.layers * text.cross_layers * self.visual_tokens
        return per_token * self.request_tokens + cross


@dataclass(frozen=True, slots=True)
class Part:
    """A share of one GPU's memory, in bytes, and how it was reckoned."""

    name: str
    bytes: int
    why: str


def splits(model: Model, gpus: int) -> bool:
    """Whether a server can share the model among so many GPUs: its heads, and KV heads or copies, divide."""
    if gpus == 1:
        return True
    text = model.text
    if text is None:
        return False
    copies = text.kv_heads % gpus == 0 or gpus % text.kv_heads == 0
    return text.heads % gpus == 0 and (copies or bool(text.latent))


def why(member: Member) -> str:
    """Why it cannot be split."""
    text = member.model.text
    return f"{text.heads} heads, {text.kv_heads} KV heads" if text else "it has no language tower"


def parts(member: Member) -> tuple[Part, ...]:
    """What one member takes of each GPU it uses, with the least KV pool that its concurrency needs."""
    model, gpus = member.model, member.tensor_parallel
    if model.text is None:
        return (
            Part("weights", model.weight_bytes("bf16"), f"{model.parameters:,} x 2 B"),
            Part("buffers", round(PLAIN), "batches, in the engine's own process"),
        )
    activations, graphs = _overheads(model.parameters)
    if member.inprocess:
        return (
            Part("weights", _weights(member), _weights_sum(member)),
            Part("KV cache", kv_floor(member), _kv_sum(member)),
            Part("activations", round(activations * GIB), "vision tower and one prefill"),
        )
    found = [
        Part("weights", _weights(member), _weights_sum(member)),
        Part("KV cache", kv_floor(member), _kv_sum(member)),
        Part("activations", round(activations * GIB), "vision tower and one prefill chunk"),
        Part("CUDA graphs", round(graphs * GIB), "decode graphs"),
        Part("process", round(PROCESS + (COLLECTIVES if gpus > 1 else 0)), "context and collectives"),
    ]
    return tuple(found)


def kv_floor(member: Member) -> int:
    """Bytes of KV on each GPU for the concurrency asked for."""
    return round(member.request_bytes * member.concurrency)


def _overheads(parameters: int) -> tuple[float, float]:
    return next((activations, graphs) for top, activations, graphs in SIZES if parameters <= top)


def _weights(member: Member) -> int:
    """Per GPU. The vision tower is copied to each (data-parallel encoder), the rest is split evenly."""
    model, gpus = member.model, member.tensor_parallel
    vision = 2 * model.vision
    return vision + -(-(model.weight_bytes(member.precision) - vision) // gpus)


def _weights_sum(member: Member) -> str:
    model, gpus = member.model, member.tensor_parallel
    rest = model.parameters - model.kept
    split = f", / {gpus} GPUs (vision copied)" if gpus > 1 else ""
    return f"{model.kept / 1e9:.2f} B at bf16 + {rest / 1e9:.2f} B at {member.precision}{split}"


def _kv_sum(member: Member) -> str:
    per_token = member.model.kv_bytes(member.kv, member.tensor_parallel)
    return f"{member.concurrency} requests x {member.request_tokens} tokens x {per_token:,.0f} B"
