"""Linear layers in fewer bits: bytes, milliseconds, and how far the words move.

A decoder of random weights (8 layers of 512) reads 300 tokens, on this machine's device (on a CPU times are
one thread's own); random weights are a harder case than trained ones, and agreement is with the model as it
was. On a CPU these steps save memory; none of them has a kernel of ours there. Steps that cannot run here are
listed with the reason.

torchao is no dependency of ours: where it is not installed, the bench makes an environment with it under
.cache/peers/ at its first run (a minute and the package index), and runs there.

agree: share of places where the likeliest word stays; cosine: of the logits, the mean over places."""

from __future__ import annotations

import argparse
import copy
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from harness.ending import conclude
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from models.compress import parse

CASES = (
    "int4fp8",
    "int4fp8 activations=false",
    "int4fp8 group=32",
    "torchao_int8",
    "torchao_int8 kind=dynamic",
    "torchao_fp8",
    "torchao_fp8 kind=dynamic",
)
TOKENS, LAYERS, WIDTH, WORDS = 300, 8, 512, 1000
QUICK_TOKENS = 60
ROOT = Path(__file__).resolve().parents[1]
TORCHAO = "0.18.0"
LEAST = 6.0
"""How many times less than FP32 four-bit weights with their steps should take."""


@dataclass(frozen=True)
class Row:
    """`bytes` of the decoder's blocks; `refused` why a step cannot run here, then nothing else is known."""

    step: str
    bytes: int = 0
    ms: float = 0.0
    agree: float = 0.0
    cosine: float = 0.0
    refused: str = ""


def model(device: str) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=WIDTH,
        intermediate_size=3 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=8,
        num_key_value_heads=4,
    )
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    return LlamaForCausalLM(config).eval().to(device, dtype)


def measure(
    plain: LlamaForCausalLM, step: str | None, words: Tensor, rounds: int
) -> tuple[Row, Tensor | None]:
    changed = copy.deepcopy(plain)
    if step is not None:
        parsed = parse(step)
        try:
            parsed.method.load()(changed, parsed)
        except ValueError as error:
            return Row(step, refused=str(error)), None
    with torch.inference_mode():
        logits = changed(words).logits.float()
        clock = time.perf_counter if words.is_cuda else time.thread_time
        times = []
        for _ in range(rounds):
            began = clock()
            changed(words)
            if words.is_cuda:
                torch.cuda.synchronize()
            times.append(1000 * (clock() - began))
    return Row(step or "dense", stored(changed.model.layers), min(times)), logits


def stored(module: nn.Module) -> int:
    """Bytes of parameters and buffers, those inside torchao's tensors included."""
    return sum(_bytes(each) for each in (*module.parameters(), *module.buffers()))


def _bytes(tensor: Any) -> int:
    inner = getattr(tensor, "__tensor_flatten__", None)
    if inner is None or type(tensor) in (torch.Tensor, nn.Parameter):
        return tensor.numel() * tensor.element_size()
    return sum(_bytes(getattr(tensor, name)) for name in inner()[0])


def beside(row: Row, logits: Tensor | None, dense: Tensor) -> Row:
    if logits is None:
        return row
    agree = float((logits.argmax(-1) == dense.argmax(-1)).float().mean())
    cosine = float(nn.functional.cosine_similarity(logits, dense, dim=-1).mean())
    return Row(row.step, row.bytes, row.ms, agree, cosine)


def beside_torchao() -> Path | None:
    """An interpreter that has it; None, with the reason said, where none can be made."""
    sys.path.insert(0, str(ROOT / "tests" / "peers"))
    from environments import Peer, PeerUnavailable, interpreter
    from harness.peers import FOLDER, OURS

    try:
        return interpreter(Peer(TORCHAO, FOLDER / "requirements-torchao.txt", "torchao", OURS))
    except PeerUnavailable as error:
        print(f"torchao is left out: {error}\n")
        return None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of few tokens instead of ten")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    asked = parser.parse_args(arguments)
    if find_spec("torchao") is None and (python := beside_torchao()):
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.call([str(python), __file__, *(arguments or sys.argv[1:])], env=environ)
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    plain = model(device)
    words = torch.randint(0, WORDS, (1, TOKENS), generator=torch.Generator().manual_seed(1)).to(device)
    rounds = 1 if asked.quick else 10
    words = words[:, :QUICK_TOKENS] if asked.quick else words
    first, dense = measure(plain, None, words, rounds)
    assert dense is not None
    rows = [
        beside(*measured, dense)
        for measured in ((first, dense), *(measure(plain, step, words, rounds) for step in CASES))
    ]
    print(f"{device}, {words.shape[1]} tokens, {LAYERS} layers of {WIDTH}\n")
    print(f"{'step':28}{'MB':>8}{'x less':>8}{'ms':>9}{'x time':>8}{'agree':>8}{'cosine':>8}")
    for row in rows:
        if row.refused:
            print(f"{row.step:28}{row.refused}")
            continue
        print(
            f"{row.step:28}{row.bytes / 1e6:8.2f}{first.bytes / row.bytes:8.2f}{row.ms:9.1f}"
            f"{row.ms / first.ms:8.2f}{row.agree:8.3f}{row.cosine:8.4f}"
        )
    less = first.bytes / rows[1].bytes
    slim = less >= LEAST or device != "cpu"
    misses = [] if slim else [f"four-bit weights take {less:.2f} times less; the target is {LEAST}"]
    return conclude([asdict(row) for row in rows], misses, file=asked.json, check=asked.check)


if __name__ == "__main__":
    sys.exit(main())
