"""What compression saves on VLMs of random weights: tokens, cache bytes, FLOPs, milliseconds. Weights do not
matter for any of these. 64 visual tokens a picture, as Qwen's have at 224 px."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForImageTextToText

from harness.downscaled import shape
from models.compress import plan
from models.compress.applied import Applied
from models.vlm.inprocess.network import Network, Picture, Scene
from models.vlm.inprocess.parts import Parts
from models.vlm.inprocess.prompt import Prompt

IMAGE, TEXT = 1, 2
CELLS = 8
"""Visual tokens a side; each is made of two by two patches."""
ROUNDS = 3
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}


@dataclass(frozen=True)
class Size:
    """A family's configuration; `patch` pixels a side."""

    family: str
    text: Mapping[str, Any]
    vision: Mapping[str, Any]
    patch: int

    def build(self, device: str = "cpu", dtype: torch.dtype = torch.float32) -> nn.Module:
        torch.manual_seed(0)
        text = {"bos_token_id": 0, "eos_token_id": 0, **self.text}
        config = AutoConfig.for_model(
            self.family, text_config=text, vision_config=dict(self.vision), image_token_id=IMAGE
        )
        with torch.device(device):
            made: Any = AutoModelForImageTextToText.from_config(  # type: ignore[no-untyped-call] # transformers'
                config, attn_implementation="sdpa", dtype=dtype
            )
        model: nn.Module = made.to(device).train(False).requires_grad_(False)
        return model

    def picture(self, lot: torch.Generator, grid: tuple[int, int] = (CELLS, CELLS)) -> Picture:
        """A smooth field with noise over it, so that tokens resemble their neighbours as in a picture."""
        rows, columns = 2 * grid[0], 2 * grid[1]
        pixels = 3 * 2 * self.patch**2
        coarse = torch.randn(4, 4, pixels, generator=lot)
        smooth = coarse[torch.arange(rows) * 4 // rows][:, torch.arange(columns) * 4 // columns]
        noisy = smooth + 0.3 * torch.randn(rows, columns, pixels, generator=lot)
        return {
            "pixel_values": noisy.view(-1, pixels),
            "image_grid_thw": torch.tensor([[1, rows, columns]]),
        }


SMALL = Size(
    "qwen2_5_vl",
    {
        "vocab_size": 512,
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "rope_parameters": {**_ROPE, "mrope_section": [4, 6, 6]},
    },
    {
        "depth": 2,
        "hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 64,
        "out_hidden_size": 128,
        "fullatt_block_indexes": [1],
        "window_size": 112,
    },
    patch=14,
)
"""A Qwen2.5-VL scaled down."""
FULL = Size(
    "qwen3_vl",
    {
        "vocab_size": 151936,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "rope_parameters": {**_ROPE, "mrope_section": [24, 20, 20], "mrope_interleaved": True},
    },
    {"out_hidden_size": 4096},
    patch=16,
)
"""Qwen3-VL-8B."""
TOY = Size(
    "qwen3_vl",
    {**SMALL.text, "rope_parameters": {**_ROPE, "mrope_section": [6, 5, 5], "mrope_interleaved": True}},
    {
        "depth": 2,
        "hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 64,
        "out_hidden_size": 128,
        "deepstack_visual_indexes": [0],
    },
    patch=16,
)
"""The same family, of a few thousand weights."""


def network_of(model: nn.Module, lines: Sequence[str]) -> Network:
    """Raises ValueError for steps that cannot run here."""
    parts = Parts(model)
    applied = Applied(plan(lines, parts.offer()), parts.layers, max(1, parts.deep))
    if any("gaze" in step.method.needs for step in applied.steps):
        parts.watch()
    text = (TEXT,) * 20
    return Network(parts, applied, Prompt(text, text[:2], text[:8], IMAGE))


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a scene: visual `tokens` in the language model's last layer; `kv_bytes` in bfloat16 or packed;
    `gflops` of the whole prefill, encoder and scoring included, attention counted in full; `ms` a scene at
    each batch size."""

    tokens: int
    kv_bytes: int
    gflops: float
    ms: tuple[float, ...]


class Bench:
    def __init__(self, views: int, batches: Sequence[int], rounds: int = ROUNDS) -> None:
        self._model = SMALL.build()
        self._views, self._batches, self._rounds = views, tuple(batches), rounds

    def measure(self, lines: Sequence[str]) -> Cost:
        """A smaller picture has fewer patches."""
        shares = [step.kept for step in plan(lines) if step.method.kind == "image"]
        grid = shape(CELLS, shares[0]) if shares else (CELLS, CELLS)
        lot = torch.Generator().manual_seed(1)
        scenes = [[SMALL.picture(lot, grid) for _ in range(self._views)] for _ in range(max(self._batches))]
        network = network_of(self._model, lines)
        (read,) = network.read(scenes[:1])
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            network.read(scenes[:1])
        times = tuple(self._timed(network, scenes[:batch]) for batch in self._batches)
        return Cost(read.kept, self._stored(lines, scenes[0]), counter.get_total_flops() / 1e9, times)

    def _timed(self, network: Network, scenes: Sequence[Scene]) -> float:
        took = []
        for _ in range(self._rounds if len(scenes) == 1 else 1):
            start = time.process_time()
            network.read(scenes)
            took.append((time.process_time() - start) * 1e3 / len(scenes))
        return statistics.median(took)

    def _stored(self, lines: Sequence[str], scene: Scene) -> int:
        """Measured on the model in bfloat16, which is what caches are compared with."""
        self._model.to(torch.bfloat16)
        try:
            narrow: Scene = [{name: _narrow(part) for name, part in one.items()} for one in scene]
            (read,) = network_of(self._model, lines).read([narrow])
            return read.kv_bytes
        finally:
            self._model.to(torch.float32)


def _narrow(part: Tensor) -> Tensor:
    return part.to(torch.bfloat16) if part.is_floating_point() else part
