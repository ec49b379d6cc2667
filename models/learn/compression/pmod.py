"""`python -m models.learn.compression.pmod --data DIR --out DIR`: the small VLM as a mixture of depths.

Starts from the shipped weights, puts routers into all layers but the first, trains decoder and routers on
training views for a few steps (the paper: one epoch of the whole language model), and reports the validation
split with all tokens, with untrained routers, and trained, beside what the layers cost. The out folder gets
`routers.safetensors` (routers and decoder) and `pmod.json`.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import DynamicCache

from models.calibration import Calibration
from models.compress import pmod
from models.learn.compression.maps import Views, accuracy, training_views, whole_frames
from models.learn.data import read
from models.learn.small_vlm.fit import IGNORED, gather, spell
from models.learn.small_vlm.scenes import Composer
from models.vlm.small import load_small_vlm
from models.vlm.small.network import SmallNetwork
from models.vlm.small.words import PROMPT
from models.weights import DEFAULT

WEIGHTS, RECORD = "routers.safetensors", "pmod.json"


@dataclass(frozen=True)
class Recipe:
    """`photographs` and `scenes` views are cached; `steps` batches of `batch` scenes at `rate`, warmed up
    over the first tenth; `reason` weight of the words after the first."""

    photographs: int = 900
    scenes: int = 200
    steps: int = 150
    batch: int = 24
    rate: float = 3e-4
    reason: float = 0.3


class Mixed(SmallNetwork):
    """The small VLM's network, part of whose visual tokens pass deeper layers by."""

    def __init__(self, network: SmallNetwork, shares: list[float]) -> None:
        super().__init__(network.shape)
        self.load_state_dict(network.state_dict())
        self.seen = pmod.wrap(self.decoder.model.layers, network.shape.width, shares)

    def prefill(self, maps: Tensor, present: Tensor, answers: Tensor) -> tuple[Tensor, DynamicCache]:
        """As the network's, the prompt's visual tokens routed."""
        pictures = present.shape[1] * self.shape.view_tokens
        visual = torch.zeros(len(maps), len(PROMPT) + pictures + 1 + answers.shape[1], dtype=torch.bool)
        visual[:, len(PROMPT) : len(PROMPT) + pictures] = True
        with pmod.showing(self.seen, visual.to(maps.device)):
            return super().prefill(maps, present, answers)


def fit(network: Mixed, views: Views, recipe: Recipe, seed: int, say: Callable[[str], None]) -> Mixed:
    """Trains decoder and routers in place; the network in evaluation mode."""
    torch.manual_seed(seed)
    network.train().requires_grad_(False)
    network.decoder.requires_grad_(True)
    learning = [each for each in network.parameters() if each.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=recipe.rate, weight_decay=0.0)
    rng, composer, losses = np.random.default_rng(seed), Composer(views.samples), []
    for step in range(1, recipe.steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * min(1.0, step / max(1, recipe.steps // 10))
        scenes = [composer.draw(rng) for _ in range(recipe.batch)]
        seen, present = gather(scenes, views.maps)
        given, wanted = spell(scenes)
        logits = network(seen, present, given)
        first = functional.cross_entropy(logits[:, 0], wanted[:, 0])
        later, words = logits[:, 1:].flatten(0, 1), wanted[:, 1:].flatten()
        loss = first + recipe.reason * functional.cross_entropy(later, words, ignore_index=IGNORED)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        if step % 50 == 0:
            say(f"step {step}: loss {np.mean(losses[-50:]):.3f}")
    return network.train(False).requires_grad_(False)


def costs(network: SmallNetwork, shares: list[float], views: int) -> dict[str, float]:
    """Of a prompt of `views` views: what the layers' work and caches are of the dense ones', in [0, 1]."""
    shape = network.shape
    sizes = (len(PROMPT) + 1, views * shape.view_tokens, shape.width, shape.inner, shape.width, shape.width)
    part, whole = (pmod.account(each, *sizes) for each in (shares, [1.0] * shape.layers))
    return {"flops": part.flops / whole.flops, "kv": part.entries / whole.entries}


def train(options: argparse.Namespace, recipe: Recipe) -> dict[str, Any]:
    """Everything; the record that becomes `pmod.json`."""
    tier = load_small_vlm(device="cpu")
    dense: SmallNetwork = copy.deepcopy(tier.network)
    shares = pmod.ratios(dense.shape.layers)
    grid = dense.shape.grid
    test = whole_frames(DEFAULT, read(options.data, "val"), grid)
    found = {"dense": accuracy(dense, test, tier.calibration)}
    mixed = Mixed(dense, shares).train(False)
    assert isinstance(mixed, Mixed)
    found["untrained routers"] = accuracy(mixed, test, tier.calibration)
    views = training_views(
        DEFAULT, read(options.data, "train"), recipe.photographs, recipe.scenes, grid, options.seed
    )
    fit(mixed, views, recipe, options.seed, print)
    found["trained"] = accuracy(mixed, test, tier.calibration)
    again = Calibration(tier.calibration.temperature, 0.5)
    found["trained, threshold at 1/2"] = accuracy(mixed, test, again)
    options.out.mkdir(parents=True, exist_ok=True)
    save_file(_untied(mixed.decoder.state_dict()), options.out / WEIGHTS)
    return {
        "recipe": asdict(recipe),
        "shares": shares,
        "cost": {f"{count} views": costs(dense, shares, count) for count in (1, 6)},
        "val": {name: each.to_json() for name, each in found.items()},
    }


def _untied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the head, which is the embedding."""
    return {name: each.contiguous() for name, each in state.items() if name != "lm_head.weight"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.learn.compression.pmod", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv, train and val")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--photographs", type=int, default=Recipe.photographs)
    parser.add_argument("--scenes", type=int, default=Recipe.scenes)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    record = train(options, Recipe(options.photographs, options.scenes, options.steps))
    (options.out / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for name, each in record["val"].items():
        print(f"{name}: MCC {each['mcc']:.3f}, AUC {each['auc']:.3f}")
    print("of the dense decoder's cost:", json.dumps(record["cost"]))


if __name__ == "__main__":
    main()
