"""One training run of the decoder on cached maps of a frozen backbone."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.learn.small_vlm.samples import Sample, View
from models.learn.small_vlm.scenes import Composer, Scene
from models.preprocess import read as read_preprocess
from models.vlm.small.network import Shape, SmallNetwork, pooled
from models.vlm.small.tier import open_backbone
from models.vlm.small.words import TOKENS, encode

Say = Callable[[str], None]
IGNORED = -100


@dataclass(frozen=True)
class Recipe:
    """`views` photographed views and `scenes` rendered ones are cached; `steps` batches of `batch` scenes;
    `checkpoints` steps at which the held-out part is asked; `reason` weight of the words after the first."""

    views: int = 1400
    scenes: int = 300
    scene_seed: int = 902
    steps: int = 240
    checkpoints: tuple[int, ...] = (120, 240)
    batch: int = 40
    rate: float = 1e-3
    warmup: int = 40
    weight_decay: float = 0.1
    smoothing: float = 0.05
    reason: float = 0.3
    folds: int = 3


def see(folder: Path, views: Iterable[View], grid: int) -> tuple[list[Sample], Tensor]:
    """What the views show, and their maps (n, features, grid, grid) in half precision."""
    backbone, prepare = open_backbone(folder), read_preprocess(folder / "preprocessor_config.json")
    samples, maps, source = [], [], iter(views)
    while group := list(islice(source, 32)):
        pixels = torch.from_numpy(np.stack([prepare(image) for image, _ in group]))
        with torch.inference_mode():
            found = backbone(pixel_values=pixels.contiguous(memory_format=torch.channels_last))
        maps.append(pooled(found.last_hidden_state, grid).half())
        samples += [sample for _, sample in group]
    return samples, torch.cat(maps).clone()


def fit(
    samples: Sequence[Sample],
    maps: Tensor,
    shape: Shape,
    recipe: Recipe,
    seed: int,
    watch: Callable[[int, SmallNetwork], None] | None = None,
    last: int | None = None,
    say: Say = print,
) -> SmallNetwork:
    """Train for `recipe.steps`, or stop after `last` of them; the network, in evaluation mode."""
    torch.manual_seed(seed)
    network = SmallNetwork(shape)
    rng, composer = np.random.default_rng(seed), Composer(samples)
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    losses = []
    for step in range(1, (last or recipe.steps) + 1):
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, recipe)
        scenes = [composer.draw(rng) for _ in range(recipe.batch)]
        losses.append(_advance(network, optimiser, scenes, maps, recipe))
        if step % 100 == 0:
            say(f"step {step}: loss {np.mean(losses[-100:]):.3f}")
        if watch and step in recipe.checkpoints:
            watch(step, still(network))
    return still(network)


def still(network: SmallNetwork) -> SmallNetwork:
    copied: nn.Module = copy.deepcopy(network).train(False)
    assert isinstance(copied, SmallNetwork)
    return copied


def rate_at(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then half a cosine down to nothing."""
    if step <= recipe.warmup:
        return recipe.rate * step / recipe.warmup
    return (
        recipe.rate * 0.5 * (1 + math.cos(math.pi * (step - recipe.warmup) / (recipe.steps - recipe.warmup)))
    )


def _advance(
    network: SmallNetwork,
    optimiser: torch.optim.Optimizer,
    scenes: Sequence[Scene],
    maps: Tensor,
    recipe: Recipe,
) -> float:
    network.train()
    seen, present = gather(scenes, maps)
    given, wanted = spell(scenes)
    logits = network(seen, present, given)
    first = functional.cross_entropy(logits[:, 0], wanted[:, 0], label_smoothing=recipe.smoothing)
    later, words = logits[:, 1:].flatten(0, 1), wanted[:, 1:].flatten()
    rest = functional.cross_entropy(later, words, ignore_index=IGNORED)
    loss = first + recipe.reason * rest
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())


def gather(scenes: Sequence[Scene], maps: Tensor) -> tuple[Tensor, Tensor]:
    """Maps of the scenes' views, padded to the largest scene, and which of them are there."""
    most = max(len(scene.places) for scene in scenes)
    padded = [[*scene.places, *scene.places[:1] * (most - len(scene.places))] for scene in scenes]
    present = torch.tensor([[n < len(scene.places) for n in range(most)] for scene in scenes])
    return maps[torch.tensor(padded)].float(), present


def spell(scenes: Sequence[Scene]) -> tuple[Tensor, Tensor]:
    """(words given, words wanted): what is wanted at t is given at t + 1; the rest is ignored."""
    longest = max(len(scene.words) for scene in scenes)
    wanted = torch.full((len(scenes), longest), IGNORED)
    given = torch.full((len(scenes), longest - 1), TOKENS["<pad>"])
    for row, scene in enumerate(scenes):
        tokens = torch.tensor(encode(scene.words))
        wanted[row, : len(tokens)] = tokens
        given[row, : len(tokens) - 1] = tokens[:-1]
    return given, wanted
