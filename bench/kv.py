"""What caches store of a prompt, in measured bytes, and how much of attention's answer they keep.

A decoder of the shape of Qwen3-VL-8B (36 layers, 8 key heads of 128), six views of 64 tokens and 40 of text,
BF16. Keys and values are drawn (an eighth of the channels of keys eight times larger, as trained models have
them), so the last column is about the formats, not about a model: signal to noise of what attention answers
to a new query, beside the answer of the dense cache; for evictions it says nothing, as drawn attention has no
favourites. Accuracy is measured by bench/compress.py.

x dense: bytes of the dense cache over the method's. Of the visual entries of a layer that forgets alone, and
of everything: text, first layers that keep all, scales."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models.compress import plan
from models.compress.applied import Applied
from models.compress.attention import last_rows
from models.compress.interface import Marks
from models.compress.stores import complete, retain, stored_bytes

LAYERS, HEADS, GROUPS, WIDTH = 36, 32, 8, 128
VIEWS, TOKENS, BEFORE, AFTER = 6, 64, 30, 10
CASES = (
    (),
    ("fp8",),
    ("int4",),
    ("nvfp4",),
    ("nvfp4 scale=cast",),
    ("purekv 0.2",),
    ("vatp 0.2",),
    ("snapkv 0.2",),
    ("streaming 0.2",),
    ("nvfp4", "purekv 0.2"),
    ("nvfp4", "purekv 0.1"),
)
NVFP4, BOTH = 3.5, 17.0


@dataclass(frozen=True)
class Row:
    """`bytes` of the whole cache, `ratio` of the dense one's to it; `visual` the same ratio of the visual
    entries of the last layer; `signal` dB."""

    steps: str
    bytes: int
    ratio: float
    visual: float
    signal: float | None


def marks() -> Marks:
    side = int(TOKENS**0.5)
    return Marks(
        BEFORE + VIEWS * TOKENS + AFTER,
        torch.arange(BEFORE, BEFORE + VIEWS * TOKENS),
        (TOKENS,) * VIEWS,
        ((side, side),) * VIEWS,
        torch.arange(TOKENS).repeat(VIEWS),
    )


def states(layer: int) -> tuple[Tensor, Tensor, Tensor]:
    """Query [1, H, N, d], key and value [1, Hkv, N, d] of a layer."""
    lot = torch.Generator().manual_seed(layer)
    length = marks().length
    query = torch.randn(1, HEADS, length, WIDTH, generator=lot)
    key, value = (torch.randn(1, GROUPS, length, WIDTH, generator=lot) for _ in range(2))
    key[..., :: WIDTH // 16] *= 8
    return query.bfloat16(), key.bfloat16(), value.bfloat16()


def fill(steps: Sequence[str], layers: int) -> tuple[Any, Tensor | None]:
    """The cache after a prompt, and what its last layer answers to a new query (None when it forgot)."""
    from transformers import LlamaConfig

    applied, who = Applied(plan(steps), layers), marks()
    cache = complete(applied.cache(LlamaConfig(num_hidden_layers=layers)), layers)
    evictor, attention = applied.evictor(), {}
    for layer in range(layers):
        query, key, value = states(layer)
        cache.update(key, value, layer)
        if evictor is None:
            continue
        if layer in evictor.watched:
            attention[layer] = last_rows(query, key, None, evictor.window, None)
        kept = evictor.keep(layer, key, value, attention, who)
        if kept is not None:
            retain(cache.layers[layer], kept)
    if evictor is not None:
        return cache, None
    query, key, value = (each[:, :, :1] for each in states(layers))
    stored = cache.update(key, value, layers - 1)
    answer = functional.scaled_dot_product_attention(
        query.float(), *(each.float() for each in stored), enable_gqa=True
    )
    for each in cache.layers[-1:]:
        each.crop(-1)
    return cache, answer


def measure(layers: int) -> list[Row]:
    dense, wanted = fill((), layers)
    assert wanted is not None
    rows = []
    for steps in CASES:
        cache, answer = fill(steps, layers)
        signal = None if answer is None or not steps else _decibels(wanted, answer - wanted)
        ratio = stored_bytes(dense) / stored_bytes(cache)
        rows.append(
            Row(" + ".join(steps) or "dense", stored_bytes(cache), ratio, _visual(dense, cache), signal)
        )
    return rows


def _visual(dense: Any, cache: Any) -> float:
    """The last layer, with its text's share of bytes taken off: text is never forgotten."""
    last = cache.layers[-1]
    text = BEFORE + AFTER
    each = stored_bytes(_Only(last)) / last.get_seq_length()
    plain = stored_bytes(_Only(dense.layers[-1])) / marks().length
    return plain * VIEWS * TOKENS / (each * (last.get_seq_length() - text))


class _Only:
    def __init__(self, layer: Any) -> None:
        self.layers = [layer]


def _decibels(signal: Tensor, noise: Tensor) -> float:
    return float(20 * (signal.norm() / noise.norm()).log10())


def missed(rows: Sequence[Row]) -> list[str]:
    named = {row.steps: row for row in rows}
    found = []
    if (ratio := named["nvfp4"].ratio) < NVFP4:
        found.append(f"NVFP4 stores {ratio:.2f} times less than BF16; the target is {NVFP4}")
    if (ratio := named["nvfp4 + purekv 0.2"].visual) < BOTH:
        found.append(
            f"NVFP4 with PureKV stores {ratio:.1f} times less of visual entries; the target is {BOTH}"
        )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="6 layers instead of 36")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    asked = parser.parse_args(arguments)
    layers = 6 if asked.quick else LAYERS
    rows = measure(layers)
    print(f"{layers} layers, {VIEWS} views of {TOKENS} tokens and {BEFORE + AFTER} of text\n")
    print(f"{'steps':24}{'KB':>10}{'x dense':>10}{'x visual':>10}{'dB':>8}")
    for row in rows:
        signal = "" if row.signal is None else f"{row.signal:.1f}"
        print(f"{row.steps:24}{row.bytes / 1000:10.0f}{row.ratio:10.2f}{row.visual:10.2f}{signal:>8}")
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    failures = missed(rows)
    for each in failures:
        print(f"missed: {each}")
    return 1 if asked.check and failures else 0


if __name__ == "__main__":
    sys.exit(main())
