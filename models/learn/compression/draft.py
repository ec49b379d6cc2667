"""`python -m models.learn.compression.draft --data DIR --out DIR`: a draft for the small VLM's answers.

One decoder layer that has the small VLM's embedding, first layer, projector and last norm at the start and
sees a view as `grid` x `grid` pooled tokens. It learns to say what the small VLM says (its own greedy
answers) from its features: 0.1 cross-entropy + smooth L1 to the state before the head, after SpecVLM (arXiv
2509.11815). Where that paper feeds the draft the target's features and picks the compressor by a gate, this
one reads for itself and pools by one fixed number: a whole small model, which any `Reader` can be made of.

Beside it `table.json`: which word follows which in those answers, for the step
"specvlm 1 table=OUT/table.json": the faster draft of the two (`bench/speculative.py`), and the one served.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.compress.speculative.drafts import Table
from models.learn.compression.maps import Views, training_views
from models.learn.data import read
from models.learn.small_vlm.fit import IGNORED, gather
from models.learn.small_vlm.scenes import Composer, Scene
from models.vlm.small import load_small_vlm
from models.vlm.small.network import SmallNetwork, pooled
from models.vlm.small.words import TOKENS
from models.weights import DEFAULT

TABLE = "table.json"


@dataclass(frozen=True)
class Recipe:
    """`pool` scenes whose answers are heard once; `steps` batches of `batch` of them; `grid` of the draft."""

    pool: int = 240
    steps: int = 120
    batch: int = 24
    rate: float = 2e-3
    grid: int = 1
    words: float = 0.1


def begin(target: SmallNetwork, grid: int) -> SmallNetwork:
    """A draft of one layer with the target's weights where it has the like."""
    draft = SmallNetwork(replace(target.shape, layers=1, grid=grid, dropout=0.0))
    ours = draft.state_dict()
    theirs = {name: each for name, each in target.state_dict().items() if name in ours and name != "cells"}
    side = target.shape.grid
    square = target.cells.detach().T.reshape(1, -1, side, side)
    cells = functional.adaptive_avg_pool2d(square, grid).flatten(2)[0].T
    draft.load_state_dict({**theirs, "cells": cells})
    return draft


def fit(target: SmallNetwork, views: Views, recipe: Recipe, seed: int) -> SmallNetwork:
    """The draft, in evaluation mode."""
    torch.manual_seed(seed)
    rng, composer = np.random.default_rng(seed), Composer(views.samples)
    scenes = [composer.draw(rng) for _ in range(recipe.pool)]
    answers = heard(target, views, scenes)
    draft = begin(target, recipe.grid)
    optimiser = torch.optim.AdamW(draft.parameters(), lr=recipe.rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=recipe.steps)
    draft.train()
    for _ in range(recipe.steps):
        rows = rng.choice(len(scenes), recipe.batch)
        seen, present = gather([scenes[row] for row in rows], views.maps)
        loss = _loss(draft, target, seen, present, [answers[row] for row in rows], recipe)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(draft.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    draft.train(False).requires_grad_(False)
    return draft


def heard(target: SmallNetwork, views: Views, scenes: Sequence[Scene]) -> list[list[int]]:
    """The target's greedy answers."""
    answers: list[list[int]] = []
    for start in range(0, len(scenes), 60):
        answers += target.speak(*gather(scenes[start : start + 60], views.maps))
    return answers


def table_of(target: SmallNetwork, views: Views, recipe: Recipe, seed: int) -> Table:
    """What follows what in the target's answers to scenes of the views."""
    rng, composer = np.random.default_rng(seed), Composer(views.samples)
    return Table.of(heard(target, views, [composer.draw(rng) for _ in range(recipe.pool)]))


def shrunk(maps: Tensor, grid: int) -> Tensor:
    """Maps (batch, views, features, g, g) as the draft takes them."""
    return pooled(maps.flatten(0, 1), grid).reshape(*maps.shape[:3], grid, grid)


def _loss(
    draft: SmallNetwork,
    target: SmallNetwork,
    seen: Tensor,
    present: Tensor,
    answers: Sequence[Sequence[int]],
    recipe: Recipe,
) -> Tensor:
    longest = max(map(len, answers))
    wanted = torch.full((len(answers), longest), IGNORED)
    given = torch.full((len(answers), longest - 1), TOKENS["<pad>"])
    for row, answer in enumerate(answers):
        wanted[row, : len(answer)] = torch.tensor(answer)
        given[row, : len(answer) - 1] = torch.tensor(answer[:-1])
    with torch.no_grad(), _features(target) as theirs:
        target(seen, present, given)
    with _features(draft) as ours:
        logits = draft(shrunk(seen, recipe.grid), present, given)
    heard = wanted != IGNORED
    words = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED)
    return recipe.words * words + functional.smooth_l1_loss(ours[0][heard], theirs[0][heard])


@contextmanager
def _features(network: SmallNetwork) -> Iterator[list[Tensor]]:
    """The states that go into the head inside, the answer's alone."""
    states: list[Tensor] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        states.append(inputs[0])

    handle = network.decoder.lm_head.register_forward_pre_hook(note)
    try:
        yield states
    finally:
        handle.remove()


def main() -> None:
    from models.learn.small_vlm.__main__ import save

    parser = argparse.ArgumentParser(prog="python -m models.learn.compression.draft", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv and train")
    parser.add_argument("--out", type=Path, required=True, help="folder for the draft, as the small VLM's")
    parser.add_argument("--photographs", type=int, default=400)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tier = load_small_vlm(device="cpu")
    examples = read(options.data, "train")
    views = training_views(
        DEFAULT, examples, options.photographs, options.scenes, tier.network.shape.grid, options.seed
    )
    draft = fit(tier.network, views, Recipe(), options.seed)
    calibration = {"temperature": tier.calibration.temperature, "threshold": tier.calibration.threshold}
    save(draft, options.out, DEFAULT, calibration)
    table_of(tier.network, views, Recipe(), options.seed).write(options.out / TABLE)
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
