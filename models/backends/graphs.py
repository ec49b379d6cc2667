"""A network on a GPU as CUDA graphs: one launch for a batch instead of hundreds, which is what a small batch
on a fast GPU waits for.

A graph has fixed shapes and fixed memory. So there is one for each of a few batch sizes; a batch takes the
next larger one, and what else lies in its memory is judged for nobody. Pictures are stacked in pinned host
memory, from which they are copied without a detour.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from models.backends.choice import BF16, Make
from models.backends.export import Telling
from models.backends.runtimes import Floats, Told

GRAPHS = "graphs"
BUCKETS = (1, 2, 4, 8, 16, 32, 64)
"""Images of a graph; a larger batch goes in pieces."""
WARM_UP = 3
"""Passes before a recording: kernels are loaded and chosen in them, which no graph may hold."""
Outputs = tuple[torch.Tensor, ...]


class Graphs:
    """A `models.backends.runtimes.Runner`, of pixels that may be on the device already. Called by one thread
    at a time.

    `labels`, `shape` see `models.backends.export.export`; `dtype` the weights are rounded to; `tf32` whether
    products of float32 may be rounded to ten bits of mantissa. On a CPU the passes are made anew each time,
    in the same memory: a rehearsal. Raises whatever torch raises.
    """

    def __init__(
        self,
        network: nn.Module,
        labels: int,
        shape: tuple[int, int],
        device: str,
        *,
        layout: torch.memory_format = torch.contiguous_format,
        dtype: torch.dtype = torch.float32,
        tf32: bool = False,
        buckets: Sequence[int] = BUCKETS,
    ) -> None:
        self._buckets, on = tuple(buckets), torch.device(device)
        most = (self._buckets[-1], 3, *shape)
        self._host = torch.zeros(most, pin_memory=on.type == "cuda")
        self._pixels = torch.zeros(most, device=on)
        self._graphs: dict[int, tuple[Callable[[], None], Outputs]] = {}
        graphs = on.type == "cuda"
        own = network if graphs and dtype == torch.float32 else copy.deepcopy(network).to(dtype)
        self._telling = Telling(own, labels)  # held: graphs read its weights and do not keep them alive
        pool = torch.cuda.graph_pool_handle() if graphs else None
        try:
            with torch.inference_mode(), _rounding(tf32):
                for size in reversed(self._buckets):  # the largest first: the others find room in its memory
                    judge = partial(_judged, self._telling, self._pixels[:size], dtype, layout)
                    self._graphs[size] = recorded(judge, on, pool)
        finally:
            if graphs:
                self._telling.close()

    def room(self, images: int) -> Floats | None:
        """Pinned memory (images, 3, height, width) for the next call; None for more than there is."""
        return self._host[:images].numpy() if images <= len(self._host) else None

    def __call__(self, pixels: Floats | torch.Tensor) -> Told:
        most = self._buckets[-1]
        parts = [self._judge(pixels[start : start + most]) for start in range(0, len(pixels), most)]
        logits, *features = (np.concatenate(each) for each in zip(*parts, strict=True))
        return logits, features[0] if features else None

    @torch.inference_mode()
    def _judge(self, pixels: Floats | torch.Tensor) -> list[Floats]:
        count = len(pixels)
        replay, told = self._graphs[next(size for size in self._buckets if size >= count)]
        self._pixels[:count].copy_(torch.as_tensor(pixels), non_blocking=True)
        replay()
        return [each[:count].float().cpu().numpy().copy() for each in told]


def _judged(
    telling: Telling, pixels: torch.Tensor, dtype: torch.dtype, layout: torch.memory_format
) -> Outputs:
    told: Outputs = telling(pixels.to(dtype, memory_format=layout))
    return told


def recorded(
    run: Callable[[], Outputs], device: torch.device, pool: Any
) -> tuple[Callable[[], None], Outputs]:
    """What repeats `run`, and where its results then are, until another graph of the `pool` is replayed."""
    if device.type != "cuda":
        told = run()
        return lambda: _again(told, run()), told
    aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call] # torch's stub
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            run()
    torch.cuda.current_stream(device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool, aside, capture_error_mode="thread_local"):
        told = run()
    return graph.replay, told


def _again(told: Outputs, newly: Outputs) -> None:
    for old, new in zip(told, newly, strict=True):
        old.copy_(new)


@contextmanager
def _rounding(tf32: bool) -> Iterator[None]:
    was = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else was)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(was)


def candidates(
    network: nn.Module,
    labels: int,
    shape: tuple[int, int],
    device: str,
    layout: torch.memory_format,
    *,
    bf16: bool,
) -> Mapping[str, Make]:
    """The forms of `network`, which is on `device`, for `models.backends.choice.choose`; in bfloat16 only if
    that was proven."""
    make: Callable[..., Any] = partial(Graphs, network, labels, shape, device, layout=layout, buckets=BUCKETS)
    found: dict[str, Make] = {GRAPHS: make, f"{GRAPHS}-tf32": partial(make, tf32=True)}
    if bf16:
        found[GRAPHS + BF16] = partial(make, dtype=torch.bfloat16)
    return found
