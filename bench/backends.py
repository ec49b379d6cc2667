"""A classifier in every form it can run in on this CPU, one thread each, in interleaved turns.

The embedded model, and a ViT-B/16 with random weights and a head fitted to training images (ViT-Ti/16 with
--quick); torch eager, channels-last, with folded normalisations and compiled, against ONNX Runtime and
OpenVINO in float32, int8 and, where the CPU can, bfloat16; the reference miner's call (a transformers
pipeline per image) beside ours from the same decoded image, in the fastest form that may serve. Times are CPU
seconds of this process, all its threads: on a busy machine the wall clock measures the neighbours.

ratio: images a CPU second over those of torch's best form in the same turn, with the 95 % interval of its
median (bootstrap over turns). agree: the same decision as torch, on labelled images where --data has them."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from harness.forms import FLOAT, Form, copies, matmul_peak, runtime_forms, torch_forms
from harness.head import give_head
from harness.interval import interval
from PIL import Image
from serve import BASE, TINY, write_model
from torch.utils.flop_counter import FlopCounterMode

from models.backends.machine import Machine, here
from models.backends.proof import AGREEMENT, LEAST_IMAGES, MCC_LOSS, Proof
from models.backends.quantise import compare, divided, odds, shown
from models.classifier import Classifier, load_classifier
from models.learn.data import Example, read
from models.scenes import render, write_scenes
from models.weights import DEFAULT

THREADS = 1
LEAST_TURNS = 4
SLOW = 256
"""Images that a large model is calibrated on; it is compared on LEAST_IMAGES."""
POOL = 64
"""Images that are judged while time is taken."""
EMBEDDED_GOAL, REFERENCE_GOAL, PEAK_GOAL = 5.0, 6.0, 0.70
SLOW_SKIP = ("avx512_bf16", "avx512_vnni", "avx_vnni", "amx_int8")
"""With none of these no CPU multiplies anything but float32 fast, and ViT-B/16 is bound by that."""


@dataclass(slots=True)
class Row:
    """One form of one model. `per_s` batch size -> images a CPU second (median); `ratio`, `low`, `high` over
    torch's best; `peak` part of the GEMM peak (in float32 only); `proof` beside torch on labelled images."""

    model: str
    form: str
    per_s: dict[int, float] = field(default_factory=dict)
    ratio: float = 0.0
    low: float = 0.0
    high: float = 0.0
    peak: float | None = None
    proof: Proof | None = None


def vit_gflop(config: Any) -> float:
    """Multiplications and additions of one image: patches, then per layer projections, attention and MLP."""
    tokens = (config.image_size // config.patch_size) ** 2 + 1
    width, inner = config.hidden_size, config.intermediate_size
    layer = 4 * tokens * width * width + 2 * tokens * tokens * width + 2 * tokens * width * inner
    patches = (tokens - 1) * config.patch_size**2 * config.num_channels * width
    return 2 * (config.num_hidden_layers * layer + patches) / 1e9


def convolutional_gflop(tier: Classifier) -> float:
    """Multiplications and additions of one image, counted while it is judged. (Attention is not.)"""
    with FlopCounterMode(display=False) as counter:
        tier.logits([tier.prepare(render(0, True))])
    return float(counter.get_total_flops()) / 1e9


def turns(
    forms: Mapping[str, Form], pool: Any, sizes: tuple[int, ...], each: int, seconds: float
) -> dict[str, dict[int, list[float]]]:
    """Form -> batch size -> images a CPU second, a figure per turn. A turn judges the next `each` of `pool`
    in batches, the same for all: what asks again where it is close to call pays for it as often as it has
    to. A first pass is not measured."""
    found: dict[str, dict[int, list[float]]] = {name: {size: [] for size in sizes} for name in forms}
    for form in forms.values():
        for size in sizes:
            form(pool[:size])
    end, done = time.monotonic() + seconds, 0
    while time.monotonic() < end or done < LEAST_TURNS:
        pixels = np.roll(pool, -done * each, axis=0)[:each]
        for name, form in forms.items():
            for size in sizes:
                start = time.process_time()
                for first in range(0, each, size):
                    form(pixels[first : first + size])
                found[name][size].append(each / max(time.process_time() - start, 1e-9))
        done += 1
    return found


def rows(
    model: str, found: Mapping[str, Mapping[int, list[float]]], gflop: float, peak: float
) -> Iterator[Row]:
    """Each form at its best batch size, over torch's best form at its own."""
    bests = {
        name: max((np.array(seen) for seen in sizes.values()), key=np.median) for name, sizes in found.items()
    }
    torch_best = max((bests[name] for name in FLOAT if name in bests), key=np.median)
    for name, seen in bests.items():
        ratio, low, high = interval(seen / torch_best)
        per_s = {size: float(np.median(each)) for size, each in found[name].items()}
        part = None if rounded(name) else gflop * float(np.median(seen)) / peak
        yield Row(model, name, per_s, ratio, low, high, part)


def rounded(form: str) -> bool:
    return form.endswith(("int8", "bf16"))


def examples(data: Path | None, folder: Path, most: int) -> tuple[list[Example], list[Example], str]:
    """To calibrate with, to compare on, and what they are."""
    if data is not None and data.is_dir():
        return *divided(data, most), "real images"
    write_scenes(folder / "train", 32, 0), write_scenes(folder / "val", 64, 1)
    return read(folder, "train"), read(folder, "val")[:most], "rendered scenes"


def embedded(
    seconds: float, compiled: bool, data: Path | None, folder: Path, most: int, peak: float
) -> list[Row]:
    tier = load_classifier(DEFAULT)
    calibrating, others, what = examples(data, folder / "data", most)
    print(f"embedded model: {len(others)} {what} compared", flush=True)
    forms = torch_forms(tier, compiled=compiled)
    shape = pool(tier, others[:1]).shape[-2:]
    runtimes = runtime_forms(tier, shape, folder, THREADS, bf16=here().bf16)
    runtimes |= copies(tier, calibrating, folder, THREADS)
    found = turns({**forms, **runtimes}, pool(tier, others), (1, 8), 16, seconds)
    result = list(rows("embedded", found, convolutional_gflop(tier), peak))
    truth = odds(tier, None, others)
    for row in result:
        if row.form in runtimes:
            row.proof = compare(tier, runtimes[row.form], others, truth)
        show(row)
    return result


def transformer(
    seconds: float, compiled: bool, small: bool, data: Path | None, folder: Path, most: int, peak: float
) -> list[Row]:
    name = "ViT-Ti/16" if small else "ViT-B/16"
    checkpoint = folder / name.lower().replace("/", "-")
    write_model(checkpoint, TINY if small else BASE)
    tier = load_classifier(checkpoint)
    calibrating, others, what = examples(data, folder / "data", min(most, LEAST_IMAGES))
    calibrating = calibrating[:SLOW]
    print(f"{name}: {len(others)} {what} compared", flush=True)
    pixels = pool(tier, others)
    shape = pixels.shape[-2:]
    headless = runtime_forms(tier, shape, folder, THREADS, bf16=False)
    give_head(tier, fastest(headless, pixels[:2]), calibrating)
    runtimes = runtime_forms(tier, shape, folder, THREADS, bf16=here().bf16)
    runtimes |= copies(tier, calibrating, folder, THREADS)
    truth = odds(tier, None, others)
    proofs = {form: compare(tier, runner, others, truth) for form, runner in runtimes.items()}
    forms = torch_forms(tier, compiled=compiled)
    del forms["folded"], forms["channels-last"]  # one convolution, no normalisation: the same as eager
    forms |= runtimes
    serving = fastest({form: runtimes[form] for form, proof in proofs.items() if holds(proof)}, pixels[:16])
    forms["reference path"], forms["ours from an image"] = whole(checkpoint, tier, serving, others)
    found = turns(forms, pixels, (1, 4), 4, seconds)
    result = list(rows(name, found, vit_gflop(tier.network.config), peak))
    for row in result:
        row.proof = proofs.get(row.form)
        show(row)
    return result


def fastest(forms: Mapping[str, Form], pixels: Any) -> Form:
    """By the best of three passes."""

    def cost(form: Form) -> float:
        form(pixels)
        spent = []
        for _ in range(3):
            start = time.process_time()
            form(pixels)
            spent.append(time.process_time() - start)
        return min(spent)

    return min(forms.values(), key=cost)


def whole(checkpoint: Path, tier: Classifier, serving: Form, found: Sequence[Example]) -> tuple[Form, Form]:
    """From decoded images, as many as asked, in turn: the reference miner's call, one by one, and ours."""
    from transformers import pipeline

    classify: Callable[[Image.Image], Any] = pipeline("image-classification", model=str(checkpoint))
    pictures = [example.load() for example in some(found)]
    theirs, own = cycle(pictures), cycle(pictures)

    def reference(pixels: Any) -> None:
        for picture in islice(theirs, len(pixels)):
            classify(picture)

    def ours(pixels: Any) -> None:
        serving(np.stack([tier.prepare(picture) for picture in islice(own, len(pixels))]))

    return reference, ours


def pool(tier: Classifier, found: Sequence[Example]) -> Any:
    """The pixels (images, 3, height, width) of `some` of them."""
    return np.concatenate(list(shown(tier, some(found))))


def some(found: Sequence[Example]) -> Sequence[Example]:
    """About POOL of them, evenly chosen: held-out images come first."""
    return found[:: max(1, len(found) // POOL)]


def show(row: Row) -> None:
    speed = " ".join(f"{size}: {value:7.1f}" for size, value in row.per_s.items())
    beside = f"x {row.ratio:5.2f} [{row.low:5.2f} {row.high:5.2f}]"
    peak = f" {row.peak:5.0%} of peak" if row.peak is not None else ""
    said = ""
    if row.proof is not None:
        mcc = f"MCC {row.proof.mcc:.3f} ({row.proof.mcc_float:.3f})"
        said = f" agree {row.proof.agreement:.2%} of {row.proof.images}, {mcc}"
        said += "" if holds(row.proof) else ": refused"
    print(f"{row.model:10s} {row.form:20s} {speed}  {beside}{peak}{said}", flush=True)


def reach(done: list[Row]) -> float:
    """How many times torch's best form the embedded model would run at the GEMM peak in float32: what no
    runtime can pass on a machine that multiplies nothing else faster. Infinite without its rows."""
    ratios = [row.ratio / row.peak for row in done if row.model == "embedded" and row.peak]
    return float(np.median(ratios)) if ratios else float("inf")


def failures(done: list[Row], machine: Machine) -> Iterator[str]:
    sound = [row for row in done if row.proof is not None and holds(row.proof)]
    best = max((row.ratio for row in sound if row.model == "embedded"), default=0.0)
    beyond = lacks_all(machine) and reach(done) < EMBEDDED_GOAL
    if any(row.model == "embedded" for row in done) and best < EMBEDDED_GOAL and not beyond:
        yield f"the embedded model runs at {best:.2f} times torch's best form (target: {EMBEDDED_GOAL:.0f})"
    for row in done:
        if row.proof is not None and not rounded(row.form) and not holds(row.proof):
            yield f"{row.form} decides like torch on {row.proof.agreement:.2%} (target: {AGREEMENT:.1%})"
    at = {row.form: row for row in done if row.model.startswith("ViT")}
    if not at:
        return
    peaks = [row.peak for row in at.values() if row.peak is not None]
    if max(peaks) < PEAK_GOAL:
        yield f"{max(peaks):.0%} of the GEMM peak (target: {PEAK_GOAL:.0%})"
    faster = max(at["ours from an image"].per_s.values()) / max(at["reference path"].per_s.values())
    if faster < REFERENCE_GOAL and not lacks_all(machine):
        yield f"{faster:.2f} times the reference path (target: {REFERENCE_GOAL:.0f})"


def lacks_all(machine: Machine) -> bool:
    return set(SLOW_SKIP) <= set(machine.lacks)


def holds(proof: Proof) -> bool:
    """As the miner asks for it, but for the number of images."""
    return proof.agreement >= AGREEMENT and proof.mcc_float - proof.mcc <= MCC_LOSS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a small transformer, short turns, nothing compiled"
    )
    parser.add_argument(
        "--data", type=Path, help="labelled images (models.learn.data); without: rendered scenes"
    )
    parser.add_argument("--most", type=int, default=400, help="most images to compare on")
    parser.add_argument("--seconds", type=float, default=60.0, help="of turns, for each model")
    parser.add_argument("--only", choices=("embedded", "vit"), help="one of the two models")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out (minutes)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    given = parser.parse_args()
    torch.set_num_threads(THREADS)
    machine, seconds = here(), 5.0 if given.quick else given.seconds
    with tempfile.TemporaryDirectory() as name:
        peak = matmul_peak(time.process_time, Path(name), THREADS)
    print(
        f"{machine.cpu}: has {', '.join(machine.has) or 'no extensions'}, lacks {', '.join(machine.lacks)}; "
        f"GEMM peak {peak:.0f} GFLOP/s, {THREADS} thread; load average {os.getloadavg()[0]:.1f}"
    )
    if lacks_all(machine):
        print(f"SKIPPED: {REFERENCE_GOAL:.0f} times the reference path: none of {', '.join(SLOW_SKIP)}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        done: list[Row] = []
        compiled = not given.quick and not given.no_compile
        most = 40 if given.quick else given.most
        if given.only != "vit":
            done += embedded(seconds, compiled, given.data, folder, most, peak)
        if given.only != "embedded":
            done += transformer(seconds, compiled, given.quick, given.data, folder, most, peak)
    if given.json:
        told = {"machine": asdict(machine), "peak_gflops": peak, "rows": [asdict(row) for row in done]}
        given.json.write_text(json.dumps(told, indent=1))
    if lacks_all(machine) and reach(done) < EMBEDDED_GOAL:
        print(
            f"SKIPPED: {EMBEDDED_GOAL:.0f} times torch's best form of the embedded model: without those the "
            f"GEMM peak itself is {reach(done):.2f} times"
        )
    missed = list(failures(done, machine))
    print("\n".join(f"MISSED: {line}" for line in missed) or "all targets met")
    return int(given.check and bool(missed))


if __name__ == "__main__":
    sys.exit(main())
