"""One training run: examples in, a network out."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from transformers import MobileNetV2ForImageClassification

from models.learn.batches import Stream, make_pool
from models.learn.data import Example
from models.learn.judge import Judge
from models.learn.kept import key_of
from models.learn.loop import NOWHERE, Figures, Keep, Look, run
from models.learn.metrics import Floats
from models.learn.network import PREPROCESSING, Average, freeze, open_network, revive_norms, train_mode
from models.learn.recipe import Recipe
from models.learn.snapshot import State
from models.preprocess import build

Network = MobileNetV2ForImageClassification
Say = Callable[[str], None]
Watch = Callable[[int, Network], Figures]
"""Called at checkpoints with the step and the averaged network in evaluation mode; figures for the log."""
Teacher = Callable[[torch.Tensor], torch.Tensor]
"""A batch of views, as the network sees them, -> (batch,) log-odds."""
TAUGHT = 0.5
"""How much of the loss is the teacher's, where there is one."""


@dataclass(frozen=True)
class Run:
    """`losses` per step; `network` holds the averaged weights, in evaluation mode."""

    network: Network
    losses: list[float]


def make_stream(examples: Sequence[Example], recipe: Recipe, seed: int) -> Stream:
    works = [example for example in examples if example.roadwork]
    patches = [example for example in works if example.strength == "crop" or example.source == "fatima"]
    return Stream(
        roadwork=make_pool(works, recipe.roadwork_shares),
        none=make_pool([example for example in examples if not example.roadwork], recipe.none_shares),
        patches=make_pool(patches, {"mi3": 0.85, "fatima": 0.15}) if patches else None,
        side=recipe.side,
        seed=seed,
    )


def fit(
    examples: Sequence[Example],
    init: Path | None,
    recipe: Recipe,
    seed: int,
    *,
    last: int | None = None,
    watch: Watch | None = None,
    say: Say = print,
    width: float = 1.0,
    start: Network | None = None,
    teacher: Teacher | None = None,
    keep: Keep = NOWHERE,
) -> Run:
    """Train all layers for `recipe.steps` batches, or stop after `last` of them with the same schedule.

    `start` a network to go on from, which is changed, instead of a fresh head on `init`; `teacher` what half
    of the loss asks for instead of the labels (Hinton, Vinyals and Dean, "Distilling the knowledge in a
    neural network", arXiv 1503.02531, at temperature 1). `keep` where it can be interrupted; `keep.note` has
    to name `start` and `teacher`. Raises SnapshotError."""
    network = start or open_network(init, seed, width)
    stream = make_stream(examples, recipe, seed)
    module: torch.nn.Module = network
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub
    revive_norms(network, (images for images, _ in stream.batches(recipe.batch, 4)), recipe.momentum)
    freeze(network, recipe.frozen)
    average = Average(network, recipe.decay)
    optimiser = torch.optim.AdamW(_groups(network, recipe.weight_decay), lr=recipe.rate)
    losses = run(
        network,
        optimiser,
        average,
        lambda first: stream.batches(recipe.batch, last or recipe.steps, first=first),
        lambda batch, _: _advance(network, optimiser, batch, recipe.smoothing, teacher),
        lambda step: rate_at(step, recipe),
        recipe,
        last=last,
        look=_shown(network, watch),
        say=say,
        keep=keep,
        key=key_of(f"{asdict(recipe)} {last} {init} {width} {keep.note}", examples, seed),
    )
    return Run(averaged(network, average), losses)


def precision() -> str:
    """What products are computed in: bfloat16 only where the CPU has it; emulated it is nine times slower
    than float32 (AVX2, batch 32 at 192 px: 18 s a step instead of 2 s)."""
    return "bfloat16" if torch.cpu.get_capabilities().get("avx512_bf16") else "float32"


def rate_at(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the top rate."""
    if step <= recipe.warmup:
        return recipe.rate * step / recipe.warmup
    progress = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def _groups(network: Network, decay: float) -> list[dict[str, object]]:
    """Weight decay for convolution and head weights only."""
    parameters = [each for each in network.parameters() if each.requires_grad]
    return [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": decay},
        {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
    ]


def _advance(
    network: Network,
    optimiser: torch.optim.Optimizer,
    batch: tuple[torch.Tensor, torch.Tensor],
    smoothing: float,
    teacher: Teacher | None,
) -> float:
    images, labels = batch
    train_mode(network)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision() == "bfloat16"):
        logits = network(pixel_values=images).logits.float()
    loss = functional.cross_entropy(logits, labels.long(), label_smoothing=smoothing)
    if teacher is not None:
        taught = functional.binary_cross_entropy_with_logits(
            logits[:, 1] - logits[:, 0], teacher(images).sigmoid()
        )
        loss = (1 - TAUGHT) * loss + TAUGHT * taught
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return float(loss.detach())


def averaged(network: Network, average: Average) -> Network:
    """A copy with the averaged weights, in evaluation mode."""
    return with_weights(network, average.state)


def _shown(network: Network, watch: Watch | None) -> Look | None:
    if watch is None:
        return None
    return lambda step, state: watch(step, with_weights(network, state))


def with_weights(network: Network, state: State) -> Network:
    """A copy with these weights, in evaluation mode."""
    still = copy.deepcopy(network)
    still.load_state_dict(state)
    still.train(False)
    return still


def judge_with(network: nn.Module) -> Judge:
    """The network with the preprocessing it is served with; raw log-odds."""
    prepare = build(PREPROCESSING)

    def judge(images: Sequence[Image.Image]) -> Floats:
        pixels = torch.from_numpy(np.stack([prepare(image) for image in images]))
        with torch.inference_mode():
            logits = network(
                pixel_values=pixels.contiguous(memory_format=torch.channels_last)
            ).logits.double()
        scores: Floats = (logits[:, 1] - logits[:, 0]).numpy()
        return scores

    return judge
