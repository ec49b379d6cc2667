"""What compression saves on a VLM of random weights: tokens, cache bytes, FLOPs, milliseconds. Weights do not
matter for any of these. The model is a Qwen2.5-VL scaled down, 64 visual tokens a picture as the real one at
224 px."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForImageTextToText

from models.compress import plan
from models.compress.applied import Applied
from models.vlm.inprocess.network import Network, Picture, Scene
from models.vlm.inprocess.parts import Parts
from models.vlm.inprocess.prompt import Prompt

IMAGE, TEXT = 1, 2
CELLS = 16
"""Patches a side; two by two are merged, so 64 tokens."""
PIXELS = 3 * 2 * 14 * 14
ROUNDS = 3
CONFIG = {
    "text_config": {
        "vocab_size": 512,
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]},
    },
    "vision_config": {
        "depth": 2,
        "hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 64,
        "out_hidden_size": 128,
        "fullatt_block_indexes": [1],
        "window_size": 112,
    },
    "image_token_id": IMAGE,
}


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
        torch.manual_seed(0)
        config = AutoConfig.for_model("qwen2_5_vl", **CONFIG)
        self._model = AutoModelForImageTextToText.from_config(config, attn_implementation="sdpa")
        self._model.train(False).requires_grad_(False)
        self._batches, self._rounds = tuple(batches), rounds
        lot = torch.Generator().manual_seed(1)
        self._scenes = [[_picture(lot) for _ in range(views)] for _ in range(max(batches))]

    def measure(self, lines: Sequence[str]) -> Cost:
        network = self._network(lines)
        (read,) = network.read(self._scenes[:1])
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            network.read(self._scenes[:1])
        times = tuple(self._timed(network, batch) for batch in self._batches)
        return Cost(read.kept, self._stored(lines), counter.get_total_flops() / 1e9, times)

    def _network(self, lines: Sequence[str]) -> Network:
        parts = Parts(self._model)
        applied = Applied(plan(lines, parts.offer()), parts.layers)
        text = (TEXT,) * 20
        return Network(parts, applied, Prompt(text, text[:2], text[:8], IMAGE))

    def _timed(self, network: Network, batch: int) -> float:
        took = []
        for _ in range(self._rounds if batch == 1 else 1):
            start = time.process_time()
            network.read(self._scenes[:batch])
            took.append((time.process_time() - start) * 1e3 / batch)
        return statistics.median(took)

    def _stored(self, lines: Sequence[str]) -> int:
        """Measured on the model in bfloat16, which is what caches are compared with."""
        self._model.to(torch.bfloat16)
        try:
            scene: Scene = [{name: _narrow(part) for name, part in one.items()} for one in self._scenes[0]]
            (read,) = self._network(lines).read([scene])
            return read.kv_bytes
        finally:
            self._model.to(torch.float32)


def _picture(lot: torch.Generator) -> Picture:
    """A smooth field with noise over it, so that tokens resemble their neighbours as in a picture."""
    coarse = torch.randn(4, 4, PIXELS, generator=lot).repeat_interleave(4, 0).repeat_interleave(4, 1)
    pixels = coarse + 0.3 * torch.randn(CELLS, CELLS, PIXELS, generator=lot)
    return {
        "pixel_values": pixels.view(-1, PIXELS),
        "image_grid_thw": torch.tensor([[1, CELLS, CELLS]]),
    }


def _narrow(part: Tensor) -> Tensor:
    return part.to(torch.bfloat16) if part.is_floating_point() else part
