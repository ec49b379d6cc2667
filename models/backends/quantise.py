"""`python -m models.backends.quantise CHECKPOINT --data DIR`: an int8 copy of a checkpoint for CPUs,
calibrated on training images and held against the float model on all the others.

Where the copy is close to the threshold, the float model is asked again (`models.backends.close`). The copy
(`int8.onnx`) and its proof (`int8.json`) are put into the checkpoint's folder only if both together decide
alike in every runtime that is installed; else the command says how far it fell short, and an earlier copy
stays as it was. With `--bf16` there is no copy, and nothing to calibrate: what is proven, or refused, is that
the checkpoint may be computed in bfloat16 (`bfloat16.json`), on a GPU or a CPU that can.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.backends import proof
from models.backends.close import CloseCalls, overstated
from models.backends.export import LOGITS, PIXELS, export
from models.backends.graphs import Graphs
from models.backends.machine import here
from models.backends.proof import BF16_PROOF, INT8, Proof
from models.backends.runtimes import BF16_RUNTIMES, RUNTIMES, Floats, Runner, installed
from models.classifier import Classifier, load_classifier, resolve_device
from models.imaging.decode import decode
from models.imaging.header import Limits
from models.learn.data import Example, read
from models.learn.metrics import report

CALIBRATING = 512
LIMITS = Limits(2**26, 2**28)
CHUNK = 16
QUANTISED = ("Conv", "Gemm", "MatMul", "Clip", "Relu")
"""Where the time goes, and what bounds a convolution's answer: a step of the bounded range is finer, and
bytes stay bytes from one convolution to the next. Sums, norms and softmax stay in float32 (OpenVINO stumbles
over a quantised bias)."""

Say = Callable[[str], None]


class _Reader:
    """What the quantiser asks for its calibration images."""

    def __init__(self, batches: Iterator[Floats]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, Floats] | None:
        pixels = next(self._batches, None)
        return None if pixels is None else {PIXELS: pixels}


def shown(tier: Classifier, examples: Sequence[Example]) -> Iterator[Floats]:
    """The model's inputs, CHUNK images at a time."""
    for start in range(0, len(examples), CHUNK):
        part = examples[start : start + CHUNK]
        images = [decode(each.path.read_bytes(), LIMITS, side=tier.side).image for each in part]
        yield np.stack([tier.prepare(image) for image in images])


def quantise(tier: Classifier, examples: Sequence[Example], source: Path, file: Path) -> None:
    """Write the int8 copy of `source`, which is `tier` in float32; its ranges and the correction of its
    logits come from `examples`. Without byte-multiplying instructions weights get seven bits: sums of two
    products would overflow sixteen."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    quantize_static(
        str(source),
        str(file),
        _Reader(shown(tier, examples)),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(QUANTISED),
        per_channel=True,
        reduce_range=not here().int8,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    correct(file, *lines(tier, RUNTIMES["onnxruntime"](file, torch.get_num_threads()), examples))


def lines(tier: Classifier, runner: Runner, examples: Sequence[Example]) -> tuple[Floats, Floats]:
    """(labels,) slope and (labels,) intercept that take each logit of a copy to the float model's, by least
    squares over `examples`: rounding moves all images alike, the embedded model's by a seventh of a unit."""
    told, true = [], []
    for pixels in shown(tier, examples):
        told.append(runner(pixels)[0].astype(np.float64))
        true.append(tier.logits(list(pixels)).numpy())
    copy, whole = np.concatenate(told), np.concatenate(true)
    spread = copy.var(axis=0)
    together = ((copy - copy.mean(axis=0)) * (whole - whole.mean(axis=0))).mean(axis=0)
    slope = np.where(spread > 0, together / np.where(spread > 0, spread, 1), 1)
    intercept = whole.mean(axis=0) - slope * copy.mean(axis=0)
    return slope.astype(np.float32), intercept.astype(np.float32)


def correct(file: Path, slope: Floats, intercept: Floats) -> None:
    """Have the ONNX `file` tell `slope` * logits + `intercept`."""
    import onnx

    model = onnx.load(str(file))
    graph = model.graph
    told = f"{LOGITS}_as_rounded"
    for node in graph.node:
        node.output[:] = [told if name == LOGITS else name for name in node.output]
    scaled = f"{LOGITS}_scaled"
    for name, values in (("slope", slope), ("intercept", intercept)):
        graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    graph.node.append(onnx.helper.make_node("Mul", [told, "slope"], [scaled]))
    graph.node.append(onnx.helper.make_node("Add", [scaled, "intercept"], [LOGITS]))
    onnx.save(model, str(file))


def odds(tier: Classifier, runner: Runner | None, examples: Sequence[Example]) -> Floats:
    """(examples,) calibrated log-odds of the float model (None), or of a copy of it."""
    found = [
        tier.odds(tier.logits(list(pixels)).numpy() if runner is None else runner(pixels)[0])
        for pixels in shown(tier, examples)
    ]
    return np.concatenate(found)


def careful(
    tier: Classifier, examples: Sequence[Example], copy: Path, source: Path, threads: int
) -> dict[str, CloseCalls]:
    """Write the int8 `copy`, calibrated on every other example. Runtime -> it, with the float32 `source` for
    what is closer than it overstates any of the rest in any runtime."""
    calibrating, held_out = examples[::2], examples[1::2]
    quantise(tier, calibrating, source, copy)
    whole = odds(tier, None, held_out)
    quick = {name: RUNTIMES[name](copy, threads) for name in installed()}
    margin = float(max(overstated(odds(tier, runner, held_out), whole).max() for runner in quick.values()))
    return {
        name: CloseCalls(runner, RUNTIMES[name](source, threads), tier.odds, margin)
        for name, runner in quick.items()
    }


def compare(tier: Classifier, runner: Runner, examples: Sequence[Example], whole: Floats) -> Proof:
    """A copy beside the float model's `odds` on the same images."""
    labels = np.array([each.roadwork for each in examples])
    copy = odds(tier, runner, examples)
    return Proof(
        version=tier.version,
        images=len(examples),
        agreement=float(np.mean((whole > 0) == (copy > 0))),
        mcc=report(copy, labels).mcc,
        mcc_float=report(whole, labels).mcc,
        margin=runner.margin if isinstance(runner, CloseCalls) else 0.0,
    )


def divided(data: Path, most: int | None, seed: int = 0) -> tuple[list[Example], list[Example]]:
    """Training images to calibrate with, half of them at most; others to compare on (at most `most`),
    held-out ones first."""
    rng = np.random.default_rng(seed)
    held_out, training = read(data, "val"), read(data, "train")
    training = [training[index] for index in rng.permutation(len(training))]
    count = min(CALIBRATING, max(2, len(training) // 2))
    return training[:count], [*held_out, *training[count:]][:most]


def make(checkpoint: Path, data: Path, *, most: int | None = None, say: Say = print) -> Proof:
    """Quantise and prove. The copy stays only if its proof holds in every runtime that is installed; what
    comes back is the proof that fails, else the one that agrees least."""
    tier = load_classifier(checkpoint)
    calibrating, others = divided(data, most)
    file = checkpoint / INT8
    part = checkpoint / f"{INT8}.part"
    try:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "float.onnx"
            export(tier.network, len(tier.head.labels), next(shown(tier, others[:1])).shape[-2:], source)
            runners = careful(tier, calibrating, part, source, torch.get_num_threads())
            found = worst(tier, runners, others, say)
        if not found.why_not:
            proof.keep(checkpoint, part, found)
            say(f"kept: {file}")
        return found
    finally:
        part.unlink(missing_ok=True)


def make_bf16(
    checkpoint: Path, data: Path, *, device: str = "auto", most: int | None = None, say: Say = print
) -> Proof:
    """Prove bfloat16: torch's on `device`, which a CPU without it emulates, slowly and to the digit, and that
    of the runtimes which can here. The proof stays only if it holds in each; an earlier one goes first."""
    tier = load_classifier(checkpoint, device=resolve_device(device))
    _, others = divided(data, most)
    file = checkpoint / BF16_PROOF
    file.unlink(missing_ok=True)
    labels, shape = len(tier.head.labels), next(shown(tier, others[:1])).shape[-2:]
    runners: dict[str, Runner] = {
        f"torch on {tier.device}": Graphs(
            *(tier.network, labels, shape, tier.device), dtype=torch.bfloat16, buckets=(CHUNK,)
        )
    }
    with tempfile.TemporaryDirectory() as folder:
        if tier.device == "cpu" and here().bf16:
            source = Path(folder) / "float.onnx"
            export(tier.network, labels, shape, source)
            able = [name for name in installed() if name in BF16_RUNTIMES]
            runners |= {name: BF16_RUNTIMES[name](source, torch.get_num_threads()) for name in able}
        found = worst(tier, runners, others, say)
    if not found.why_not:
        proof.write(file, found)
        say(f"kept: {file}")
    return found


def worst(tier: Classifier, runners: Mapping[str, Runner], examples: Sequence[Example], say: Say) -> Proof:
    """Each runner beside the float model, said one by one: a proof that fails, else the one that agrees
    least."""
    proofs, whole = [], odds(tier, None, examples)
    for name, runner in runners.items():
        found = compare(tier, runner, examples, whole)
        say(
            f"{name}: decides alike on {found.agreement:.2%} of {found.images} images, MCC "
            f"{found.mcc:.3f} ({found.mcc_float:.3f} in float32)"
        )
        proofs.append(found)
    least = min(proofs, key=lambda each: (not each.why_not, each.agreement))
    if least.why_not:
        say(f"refused: {least.why_not}")
    return least


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="folder of a checkpoint")
    parser.add_argument("--data", type=Path, required=True, help="labelled images: see models.learn.data")
    parser.add_argument("--most", type=int, help="most images to compare on (all)")
    parser.add_argument("--bf16", action="store_true", help="prove bfloat16 instead of making an int8 copy")
    parser.add_argument("--device", default="auto", help="of bfloat16: auto, cpu, cuda or cuda:N")
    given: Any = parser.parse_args(argv)
    if given.bf16:
        found = make_bf16(given.checkpoint, given.data, device=given.device, most=given.most)
    else:
        found = make(given.checkpoint, given.data, most=given.most)
    return 1 if found.why_not else 0


if __name__ == "__main__":
    raise SystemExit(main())
