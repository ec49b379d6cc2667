"""The same weights behind our wire and engine, with the model here and as one Ray replica, behind the
reference miner's path, and behind LitServe and Ray Serve alone, under the same callers.

A ViT-B/16 of random weights (ViT-Ti/16 with --quick) and the embedded classifier, both in float32 on torch,
but for "ours, fastest", which chooses its runtime at its first start as the miner does;
challenges are rendered scenes of 224 px. Callers wait up to 9 s and ask again at once, or after a second when
they were refused. The bare model's capacity is measured before and after each round of ours, at the batch
size that was best in a first measurement (the best of several noisy ones would be too high), in a process of
its own with as many threads. Every server is started afresh for every round. Rates are taken from one batch's
answers to another's. The two servers form batches of at most that best size; each is in a virtual environment
of its own, which is made when it is not there.

lost: no prediction within 9 s. shed: refused at once with 503. goodput: images answered per second, beside
the bare model's capacity at that time. ours over a peer: the median ratio of their images per second in the
same round at the same concurrency, and the middle 95 % of the medians of resampled rounds; a round in which
the peer answered nothing says no ratio."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness.ending import conclude
from harness.interval import interval
from harness.peers import PEERS, START_S, PeerUnavailable, python_of, serving
from harness.process import Talk, ours
from transformers import AutoModelForImageClassification, ViTConfig, ViTForImageClassification
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from models.scenes import render
from models.weights import DEFAULT

OURS, FASTEST, ON_RAY, REFERENCE = "ours", "ours, fastest", "ours on Ray", "reference path"
MINE = (OURS, FASTEST, ON_RAY)
GOODPUT = 0.95
BUSY = 8
"""From this concurrency on there is always a request waiting, so that throughput is the server's and not the
caller's."""

IMAGES = 24
BASE = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
TINY = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 12, "num_attention_heads": 3}


@dataclass(frozen=True, slots=True)
class Weights:
    """A model. `write` it into a folder; `sizes` of the batches that the bare model is tried with; `seconds`
    that a row of it takes: a model that answers two images a second needs many for a rate, a fast one few."""

    name: str
    write: Callable[[Path], None]
    sizes: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How thoroughly: `bare_s` and `ramp_s` of a measurement; `parts` how many of ours there are in a round,
    each between two of the bare model: a host whose speed swings within a minute is judged by many."""

    models: tuple[Weights, ...]
    concurrencies: tuple[int, ...]
    bare_s: float
    ramp_s: float
    standby: bool
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One round of a server. `ratio` goodput over the bare model's capacity around it (None for others)."""

    model: str
    round: int
    server: str
    concurrency: int
    per_s: float
    p50: float
    p95: float
    p99: float
    answered: int
    lost: int
    shed: int
    wrong: int
    reasons: dict[str, int]
    bare_per_s: float | None
    ratio: float | None


@dataclass(frozen=True, slots=True)
class Beside:
    """Our images per second over a peer's, with the 95 % interval."""

    model: str
    peer: str
    ratio: float
    low: float
    high: float
    pairs: int


def write_model(folder: Path, vit: dict[str, int]) -> None:
    torch.manual_seed(0)
    config = ViTConfig(**vit, id2label={0: "None", 1: "Roadwork"}, label2id={"None": 0, "Roadwork": 1})
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessorPil().save_pretrained(folder)


def write_embedded(folder: Path) -> None:
    """In float32 for everybody, and without the calibration that only we would read."""
    AutoModelForImageClassification.from_pretrained(DEFAULT, dtype=torch.float32).save_pretrained(folder)
    shutil.copy(DEFAULT / "preprocessor_config.json", folder)


def write_images(folder: Path) -> None:
    folder.mkdir()
    for seed in range(IMAGES):
        render(seed, roadwork=seed % 2 == 0).resize((224, 224)).save(folder / f"{seed:03d}.jpg", quality=90)


VIT_B = Weights("ViT-B/16", lambda folder: write_model(folder, BASE), (1, 2, 4), seconds=36.0)
VIT_TI = Weights("ViT-Ti/16", lambda folder: write_model(folder, TINY), (1, 2, 4), seconds=6.0)
EMBEDDED = Weights("embedded", write_embedded, (1, 4, 16), seconds=12.0)
FULL = Plan((VIT_B, EMBEDDED), (1, 8, 32, 128), bare_s=8.0, ramp_s=4.0, standby=True)
QUICK = Plan((VIT_TI,), (8,), bare_s=2.0, ramp_s=1.0, standby=False)


class Stand:
    """One model's files, its callers and its bare form, while it is measured."""

    def __init__(
        self, folder: Path, plan: Plan, weights: Weights, threads: int, bare: Talk, callers: Talk
    ) -> None:
        self._folder, self._plan, self._weights, self._threads = folder, plan, weights, threads
        self._bare, self._callers = bare, callers
        rates = bare.ask({"seconds": 2 * plan.bare_s, "sizes": weights.sizes})["rates"]
        self._best = max(rates, key=rates.__getitem__)

    def capacity(self) -> float:
        """The bare model's images per second now."""
        asked = {"seconds": self._plan.bare_s, "sizes": [int(self._best)]}
        return float(self._bare.ask(asked)["rates"][self._best])

    def round(self, number: int, servers: Sequence[str], concurrency: int) -> Iterator[Row]:
        """Every server, started afresh, at one concurrency."""
        before = self.capacity()
        for server in servers:
            with self._started(server) as running:
                for _ in range(self._plan.parts if server == OURS else 1):
                    result, bare = self._measure(running, concurrency), None
                    if server == OURS:
                        after = self.capacity()
                        before, bare = after, (before + after) / 2
                    yield row(self._weights.name, number, server, concurrency, result, bare)

    def _measure(self, running: Talk, concurrency: int) -> dict[str, Any]:
        return self._callers.ask(
            {
                "port": running.greeting["port"],
                "concurrency": concurrency,
                "seconds": self._weights.seconds,
                "ramp_s": self._plan.ramp_s,
                "expected": self._bare.greeting["predictions"],
            }
        )

    def _started(self, server: str) -> Talk:
        model = self._folder / "model"
        if server in PEERS:
            return serving(server, self._folder, model, self._threads, int(self._best))
        first = {"model": str(model), "threads": self._threads, "standby": self._plan.standby}
        if server == ON_RAY:
            first |= {"engine": "ray://local", "standby": False}
        if server == FASTEST:
            first |= {"runtimes": str(self._folder / "runtimes")}
        module = "harness.reference" if server == REFERENCE else "harness.served"
        return ours(module, self._folder / "server.log", first, patience_s=START_S)


def compare(plan: Plan, weights: Weights, servers: Sequence[str], rounds: int, threads: int) -> Iterator[Row]:
    """A row per round, concurrency and server, as they are done."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights.write(folder / "model")
        write_images(folder / "images")
        said = {"model": str(folder / "model"), "images": str(folder / "images")}
        with (
            ours("harness.bare", folder / "bare.log", said) as bare,
            ours("harness.closed", folder / "closed.log", said) as callers,
        ):
            stand = Stand(folder, plan, weights, threads, bare, callers)
            for number in range(rounds):
                for concurrency in plan.concurrencies:
                    yield from stand.round(number, servers, concurrency)


def row(
    model: str, number: int, server: str, concurrency: int, result: dict[str, Any], bare: float | None
) -> Row:
    outcomes, per_s = result["outcomes"], result["per_s"]
    return Row(
        model=model,
        round=number,
        server=server,
        concurrency=concurrency,
        per_s=per_s,
        p50=result["ms"]["p50"],
        p95=result["ms"]["p95"],
        p99=result["ms"]["p99"],
        answered=outcomes.get("answered", 0),
        lost=outcomes.get("lost", 0),
        shed=outcomes.get("shed", 0),
        wrong=result["wrong"],
        reasons=result["reasons"],
        bare_per_s=bare,
        ratio=per_s / bare if bare else None,
    )


def show(row: Row) -> None:
    speed = f"{row.per_s:9.2f} {row.p50:8.0f} {row.p95:8.0f} {row.p99:8.0f}"
    counts = f"{row.answered:9d} {row.lost:6d} {row.shed:6d} {row.wrong:6d}"
    beside = f"{row.bare_per_s:9.2f} {row.ratio:8.3f}" if row.ratio is not None and row.bare_per_s else ""
    print(f"{row.model:10s} {row.server:15s} {row.concurrency:4d} {speed} {counts} {beside}", flush=True)


def beside(rows: Sequence[Row]) -> Iterator[Beside]:
    """Ours over each peer, for each model, over the rounds in which both answered."""
    parts = defaultdict(list)
    for row in rows:
        parts[row.model, row.server, row.round, row.concurrency].append(row.per_s)
    rates = {key: statistics.median(each) for key, each in parts.items()}
    for model, peer in dict.fromkeys((row.model, row.server) for row in rows if row.server != OURS):
        ratios = [
            rates[model, OURS, number, concurrency] / rate
            for (name, server, number, concurrency), rate in rates.items()
            if (name, server) == (model, peer) and rate > 0
        ]
        if ratios:
            yield Beside(model, peer, *interval(np.array(ratios)), len(ratios))


def failures(rows: Sequence[Row], compared: Sequence[Beside]) -> Iterator[str]:
    mine = [row for row in rows if row.server == OURS]
    for row in rows:
        if row.lost and row.server in MINE:
            yield f"{row.model}: {row.lost} of {row.server} lost at concurrency {row.concurrency} (target: 0)"
    for row in rows:
        if row.wrong:
            where = f"{row.wrong} answers of {row.server} at concurrency {row.concurrency}"
            yield f"{row.model}: {where} are not from the image that was sent"
    for model in dict.fromkeys(row.model for row in mine):
        busy = [row.ratio for row in mine if row.model == model and row.ratio and row.concurrency >= BUSY]
        if busy and (ratio := statistics.median(busy)) < GOODPUT:
            yield f"{model}: goodput is {ratio:.3f} of the bare model's capacity (target: {GOODPUT})"
    for one in compared:
        if one.high < 1.0 and one.peer not in MINE:
            yield f"{one.model}: behind {one.peer}, {one.ratio:.3f} [{one.low:.3f} {one.high:.3f}]"


def available(wanted: bool) -> tuple[list[str], list[str]]:
    """Servers that can be measured here, and why others cannot: making an environment takes a minute or
    two."""
    servers, missing = [OURS, REFERENCE], []
    if wanted:
        servers.append(FASTEST)
    if wanted and find_spec("ray"):
        servers.append(ON_RAY)
    elif wanted:
        missing.append(f"{ON_RAY} IS NOT MEASURED: Ray is not installed here")
    for peer in PEERS if wanted else ():
        try:
            python_of(peer)
            servers.append(peer)
        except PeerUnavailable as error:
            missing.append(f"{peer} IS NOT MEASURED: {error}")
    return servers, missing


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="a small model, one short round, no peers: under a minute"
    )
    parser.add_argument(
        "--peers", action="store_true", help="with LitServe and Ray Serve, also in the quick form"
    )
    parser.add_argument(
        "--rounds", type=int, default=1, help="of every server at every concurrency (default 1)"
    )
    parser.add_argument(
        "--concurrency", type=int, nargs="+", help="only these numbers of callers (default: all of the form)"
    )
    parser.add_argument(
        "--parts",
        type=int,
        default=1,
        help="of ours in a round, each between two of the bare model (default 1)",
    )
    parser.add_argument("--servers", nargs="+", metavar="NAME", help=f"{OURS}, and only these beside it")
    parser.add_argument("--model", help="only the one whose name begins so: vit or embedded")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    concurrencies = tuple(arguments.concurrency or plan.concurrencies)
    plan = replace(plan, concurrencies=concurrencies, parts=arguments.parts)
    only = (arguments.model or "").lower()
    models = [weights for weights in plan.models if weights.name.lower().startswith(only)]
    if not models:
        parser.error(f"there is no model {only!r} in this form")
    servers, missing = available(arguments.peers or not arguments.quick)
    if arguments.servers:
        if unknown := set(arguments.servers) - set(servers):
            parser.error(f"there is no server {', '.join(sorted(unknown))} here, but {', '.join(servers)}")
        servers = [server for server in servers if server in (OURS, *arguments.servers)]
    cores = os.cpu_count() or 1
    threads, load = max(1, cores - 1), os.getloadavg()[0]
    print(f"{threads} of {cores} cores for the model; load average {load:.1f}", *missing, sep="\n")
    names = (
        "images/s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "answered",
        "lost",
        "shed",
        "wrong",
        "bare/s",
        "goodput",
    )
    widths = (9, 8, 8, 8, 9, 6, 6, 6, 9, 8)
    columns = (f"{name:>{width}s}" for name, width in zip(names, widths, strict=True))
    print(f"{'model':10s} {'server':15s} conc", *columns)
    rows = []
    for weights in models:
        for done in compare(plan, weights, servers, arguments.rounds, threads):
            rows.append(done)
            show(done)
    compared = list(beside(rows))
    for one in compared:
        figures = f"{one.ratio:.3f} [{one.low:.3f} {one.high:.3f}], {one.pairs} pairs"
        print(f"{one.model}: ours over {one.peer} {figures}")
    record = {
        "threads": threads,
        "load": load,
        "rows": [asdict(each) for each in rows],
        "beside": [asdict(each) for each in compared],
        "missing": missing,
    }
    misses = [*failures(rows, compared), *missing]
    return conclude(record, misses, file=arguments.json, check=arguments.check)


if __name__ == "__main__":
    sys.exit(main())
