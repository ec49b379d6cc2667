"""A ViT-S/16 and a ViT-B/16 at 224 px on a GPU, random weights: images a second from tensors and from JPEG
bytes, and how much of the card that is.

`peak`: part of the bfloat16 GEMM peak measured here. Tensors lie on the device, logits come back to the host.
From bytes: through the judge of an engine child in the form that the miner would choose if bfloat16 were
proven, `one` the median ms of requests one by one, `many` images a second of all at once, the picture resized
on the host and on the device. `graphs`, `compiled`, `both`: how many times as fast as eager bfloat16. Where
the first tier misses its images a second, the kernels that its time goes to are listed.

Without a GPU the same rows are made on a transformer of a few thousand weights, which shows that they can be
made; compiling is left out, and no figure says anything about a GPU."""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from backends import vit_gflop
from harness.bare import LIMITS
from harness.ending import conclude
from serve import BASE, write_images, write_model
from torch import nn

from miner.engine.judge import Judge, Outcome
from models.backends.graphs import Graphs
from models.checkpoint import CheckpointError
from models.classifier import Classifier, load_classifier
from models.core import Request, Verdict

SMALL = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 12, "num_attention_heads": 6}
TOY = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
SHAPE = (224, 224)
GOAL_PER_S, GOAL_MS, FIRST, CARD = 38_000.0, 5.0, "ViT-S/16", "H200"
EAGER, GRAPHS, COMPILED, BOTH = "eager bfloat16", "graphs", "compiled", "both"
PATIENCE_S = 600.0

Form = Callable[[torch.Tensor], Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """`models` name -> configuration; `batches` of tensors; `many` requests at once, `one` by one."""

    device: str
    models: dict[str, dict[str, int]]
    batches: tuple[int, ...]
    seconds: float
    one: int
    many: int
    compiled: bool
    gemm: tuple[int, ...]


@dataclass(slots=True)
class Row:
    """One model in one form. `per_s` batch -> images a second; `peak` of the best of them; `beside` batch ->
    times eager bfloat16; why it was `refused`."""

    model: str
    form: str
    per_s: dict[int, float] = field(default_factory=dict)
    peak: float = 0.0
    beside: dict[int, float] = field(default_factory=dict)
    refused: str = ""


@dataclass(frozen=True, slots=True)
class FromBytes:
    """One model behind the judge. `version` says in which precision; "" where it was `refused`."""

    model: str
    resize: str
    version: str = ""
    one_ms: float = 0.0
    many_per_s: float = 0.0
    refused: str = ""


def plan_of(quick: bool) -> Plan:
    if not torch.cuda.is_available():
        return Plan("cpu", {FIRST: TOY, "ViT-B/16": TOY}, (1, 4), 0.2, 4, 16, compiled=False, gemm=(256,))
    batches, seconds = ((1, 64), 1.0) if quick else ((1, 8, 64, 256), 5.0)
    full = {FIRST: SMALL, "ViT-B/16": BASE}
    return Plan("cuda:0", full, batches, seconds, 200, 20_000, compiled=not quick, gemm=(4096, 8192))


def gemm_peak(plan: Plan) -> float:
    """Best bfloat16 GFLOP/s of a matrix product."""
    best = 0.0
    for size in plan.gemm:
        left, right = (torch.randn(size, size, device=plan.device, dtype=torch.bfloat16) for _ in range(2))
        taken = took(lambda left=left, right=right: left @ right, plan)
        best = max(best, 2 * size**3 / taken / 1e9)
    return best


def took(work: Callable[[], Any], plan: Plan) -> float:
    """Seconds of one, of as many as fit into the plan's time."""
    work(), settle(plan)
    count, start = 0, time.perf_counter()
    while count < 3 or time.perf_counter() - start < plan.seconds:
        for _ in range(4):  # launched without waiting for each other
            work()
        settle(plan)
        count += 4
    return (time.perf_counter() - start) / count


def settle(plan: Plan) -> None:
    if plan.device != "cpu":
        torch.cuda.synchronize()


# From tensors


def forms(tier: Classifier, batch: int, plan: Plan) -> dict[str, Callable[[], Form]]:
    """Made one after another, so that they do not share the card's memory."""
    network = tier.network
    half = copy.deepcopy(network).bfloat16()
    graphs = partial(Graphs, network, 2, SHAPE, plan.device, buckets=(batch,))
    found: dict[str, Callable[[], Form]] = {
        "eager float32": lambda: eager(network, torch.float32),
        EAGER: lambda: eager(half, torch.bfloat16),
        "graphs float32": graphs,
        "graphs tf32": partial(graphs, tf32=True),
        GRAPHS: partial(graphs, dtype=torch.bfloat16),
    }
    if plan.compiled:
        quick = Compiled(half)
        found[COMPILED] = lambda: eager(quick, torch.float32)
        found[BOTH] = partial(Graphs, quick, 2, SHAPE, plan.device, buckets=(batch,))
    return found


class Compiled(nn.Module):
    """A compiled network in bfloat16, asked in float32."""

    def __init__(self, half: nn.Module) -> None:
        super().__init__()
        self.quick = torch.compile(half, dynamic=False, mode="max-autotune-no-cudagraphs")

    def forward(self, pixel_values: torch.Tensor) -> Any:
        return self.quick(pixel_values=pixel_values.bfloat16())


def eager(network: nn.Module, dtype: torch.dtype) -> Form:
    @torch.inference_mode()
    def judge(pixels: torch.Tensor) -> Any:
        return network(pixel_values=pixels.to(dtype)).logits.float().cpu()

    return judge


def tensors(name: str, tier: Classifier, plan: Plan, peak: float) -> Iterator[Row]:
    rows: dict[str, Row] = {}
    for batch in plan.batches:
        pixels = torch.rand(batch, 3, *SHAPE, device=plan.device)
        for form, make in forms(tier, batch, plan).items():
            row = rows.setdefault(form, Row(name, form))
            try:
                row.per_s[batch] = batch / took(partial(make(), pixels), plan)
            except RuntimeError as error:
                row.refused = f"{type(error).__name__}: {error}".partition("\n")[0]
    plain, gflop = rows[EAGER].per_s, vit_gflop(tier.network.config)
    for row in rows.values():
        row.peak = gflop * max(row.per_s.values(), default=0.0) / peak
        row.beside = {batch: rate / plain[batch] for batch, rate in row.per_s.items() if batch in plain}
        yield row


def kernels(tier: Classifier, plan: Plan) -> str:
    """Where the time of the best form goes, at the largest batch."""
    judge = Graphs(tier.network, 2, SHAPE, plan.device, dtype=torch.bfloat16, buckets=plan.batches[-1:])
    pixels = torch.rand(plan.batches[-1], 3, *SHAPE, device=plan.device)
    judge(pixels)
    with torch.profiler.profile() as profile:
        judge(pixels)
    order = "self_cpu_time_total" if plan.device == "cpu" else "self_cuda_time_total"
    return profile.key_averages().table(sort_by=order, row_limit=10, max_name_column_width=60)


# From bytes


def from_bytes(name: str, checkpoint: Path, resize: str, jpegs: list[bytes], plan: Plan) -> FromBytes:
    try:
        tier = load_classifier(checkpoint, device=plan.device, resize=resize)
    except CheckpointError as error:
        return FromBytes(name, resize, refused=str(error))
    tier.record(bf16=True)
    judge = Judge(
        [tier], limits=LIMITS, most=64, decoders=os.cpu_count() or 1, broken=lambda why: sys.exit(why)
    )
    judge.start()
    try:
        ones = [asked(judge, [jpegs[n % len(jpegs)]]) for n in range(plan.one + 1)][1:]
        many = [jpegs[n % len(jpegs)] for n in range(plan.many)]
        return FromBytes(
            name, resize, tier.version, statistics.median(ones) * 1e3, plan.many / asked(judge, many)
        )
    finally:
        judge.stop()


def asked(judge: Judge, jpegs: list[bytes]) -> float:
    """Seconds until all of them are answered."""
    left, done, failed = len(jpegs), threading.Event(), []
    lock = threading.Lock()

    def heard(outcome: Outcome) -> None:
        nonlocal left
        with lock:
            left -= 1
            if not isinstance(outcome, Verdict):
                failed.append(outcome.reason)
        if not left:
            done.set()

    start = time.perf_counter()
    for number, jpeg in enumerate(jpegs):
        deadline = time.monotonic() + PATIENCE_S
        judge.submit(Request(str(number), "", "bench", (jpeg,), deadline), heard)
    done.wait(PATIENCE_S)
    if left or failed:
        raise SystemExit(f"{left} not answered, {len(failed)} refused: {failed[:1]}")
    return time.perf_counter() - start


# The end


def missed(plan: Plan, rows: list[Row], bytes_rows: list[FromBytes], card: str) -> Iterator[str]:
    if plan.device == "cpu":
        yield "no GPU: this was a transformer of a few thousand weights, and its figures say nothing"
        return
    best = max(rate for row in rows if row.model == FIRST for rate in row.per_s.values())
    if CARD in card and best < GOAL_PER_S:
        yield f"{best:,.0f} images/s of {FIRST} from tensors (target: {GOAL_PER_S:,.0f})"
    one = min((row.one_ms for row in bytes_rows if not row.refused), default=0.0)
    if CARD in card and one >= GOAL_MS:
        yield f"{one:.1f} ms from the bytes of one picture to its answer (target: {GOAL_MS:.0f})"


def line(row: Row) -> str:
    if row.refused:
        return f"| {row.model} | {row.form} | {row.refused} |"
    rates = " | ".join(f"{rate:,.0f} ({row.beside.get(batch, 0):.2f} x)" for batch, rate in row.per_s.items())
    return f"| {row.model} | {row.form} | {rates} | {row.peak:.0%} |"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two batches, nothing compiled")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument(
        "--check", action="store_true", help="exit 1 when a target is missed, or without a GPU"
    )
    given = parser.parse_args()
    plan = plan_of(given.quick)
    card = torch.cuda.get_device_name() if plan.device != "cpu" else "this CPU"
    peak = gemm_peak(plan)
    print(f"{card}, torch {torch.__version__}: bfloat16 GEMM peak {peak:,.0f} GFLOP/s\n")
    print(f"| model | form | {' | '.join(f'images/s, batch {b}' for b in plan.batches)} | peak |")
    print("|---" * (3 + len(plan.batches)) + "|", flush=True)
    rows: list[Row] = []
    behind: list[FromBytes] = []
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder) / "images")
        jpegs = [file.read_bytes() for file in sorted((Path(folder) / "images").iterdir())]
        for name, config in plan.models.items():
            checkpoint = Path(folder) / name.replace("/", "-")
            write_model(checkpoint, config)
            tier = load_classifier(checkpoint, device=plan.device)
            for row in tensors(name, tier, plan, peak):
                rows.append(row)
                print(line(row), flush=True)
            if name == FIRST and list(missed(plan, rows, [], card)):
                print(kernels(tier, plan))
            behind += [from_bytes(name, checkpoint, resize, jpegs, plan) for resize in ("host", "device")]
    print(
        "\n| model from JPEG bytes | resized on | version | one, ms | many, images/s |\n|---|---|---|---|---|"
    )
    for each in behind:
        said = each.refused or f"{each.version} | {each.one_ms:.1f} | {each.many_per_s:,.0f}"
        print(f"| {each.model} | {each.resize} | {said} |")
    record = {
        "card": card,
        "peak_gflops": peak,
        "rows": [*map(asdict, rows)],
        "bytes": [*map(asdict, behind)],
    }
    return conclude(record, list(missed(plan, rows, behind, card)), file=given.json, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
