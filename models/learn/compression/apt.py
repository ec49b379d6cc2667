"""`python -m models.learn.compression.apt --model DIR --data DIR --out DIR`: a ViT on adaptive patches.

The retrofit of arXiv 2510.18091: one epoch over the training split, learning rate 1e-6 for the last layer and
0.99 of it for each layer before, no augmentation; what is new (the branch over base patches, which starts at
zero) learns at `fresh` times that, our choice. Images are resized to the model's side; the labels none and
roadwork are the model's 0 and 1. Reported on the validation split: the plain model, the same with adaptive
patches untrained, and retrofitted, with the share of tokens that are left. The out folder is one of
transformers with `adaptive.json` and `adaptive.safetensors` beside it, and a member of a cascade:
{"kind": "adaptive", "path": OUT}.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from models.checkpoint import PREPROCESSOR
from models.compress.apt.vit import Adaptive, AdaptiveClassifier
from models.learn.data import Example, read
from models.learn.metrics import Report, report

RECORD = "retrofit.json"
LABELS = ("None", "Roadwork")


@dataclass(frozen=True)
class Recipe:
    """`rate` of the last layer, `decay` per layer before it, `fresh` times `rate` for the new branch."""

    epochs: int = 1
    batch: int = 16
    rate: float = 1e-6
    decay: float = 0.99
    fresh: float = 100.0


@dataclass(frozen=True)
class Scale:
    """From RGB in [0, 255] to what the model takes: `mean` and `std` per channel, of values in [0, 1]."""

    side: int
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    @classmethod
    def of(cls, folder: Path, side: int) -> Scale:
        """From the folder's `preprocessor_config.json`, halves without one."""
        path = folder / PREPROCESSOR
        if not path.is_file():
            return cls(side)
        found = json.loads(path.read_text(encoding="utf-8"))
        return cls(side, tuple(found.get("image_mean", cls.mean)), tuple(found.get("image_std", cls.std)))

    def to_json(self) -> dict[str, Any]:
        """As a `preprocessor_config.json`: resized to the square, bicubic."""
        return {
            "image_processor_type": "ViTImageProcessor",
            "size": {"height": self.side, "width": self.side},
            "resample": int(Image.Resampling.BICUBIC),
            "image_mean": self.mean,
            "image_std": self.std,
        }

    def __call__(self, pixels: Tensor) -> Tensor:
        mean, std = (torch.tensor(each).reshape(1, 3, 1, 1) for each in (self.mean, self.std))
        return (pixels.float() / 255 - mean) / std


def batches(examples: Sequence[Example], side: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(pixels (batch, 3, side, side) uint8, roadwork (batch,) long), in the order given."""
    for start in range(0, len(examples), size):
        part = examples[start : start + size]
        images = [each.load().resize((side, side), Image.Resampling.BICUBIC) for each in part]
        pixels = torch.stack([torch.from_numpy(np.array(image)).movedim(-1, 0) for image in images])
        yield pixels, torch.tensor([int(each.roadwork) for each in part])


def groups(model: AdaptiveClassifier, recipe: Recipe) -> list[dict[str, Any]]:
    """Parameters by depth: the head and what is after the layers, the layers from last to first, what is
    before them; and the new branch."""
    layers = next(each for name, each in model.backbone.model.named_modules() if _is_stack(name, each))
    depth = {id(each): at for at, layer in enumerate(layers) for each in layer.parameters()}
    last = len(layers)
    fresh = {id(each) for each in model.backbone.coarse.parameters()}
    found = []
    for name, each in model.named_parameters():
        early = "embed" in name
        at = depth.get(id(each), -1 if early else last)
        scale = recipe.fresh if id(each) in fresh else recipe.decay ** (last - at)
        found.append({"params": [each], "lr": recipe.rate * scale, "name": name})
    return found


def _is_stack(name: str, module: nn.Module) -> bool:
    return isinstance(module, nn.ModuleList) and name.split(".")[-1] in ("layer", "layers")


def retrofit(
    model: AdaptiveClassifier,
    examples: Sequence[Example],
    scale: Scale,
    recipe: Recipe,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Train in place; in evaluation mode afterwards, since a pretrained ViT has no dropout to speak of."""
    optimiser = torch.optim.AdamW(groups(model, recipe), weight_decay=0.0)
    rng = np.random.default_rng(seed)
    model.train()
    for epoch in range(recipe.epochs):
        order = [examples[place] for place in rng.permutation(len(examples))]
        losses = []
        for pixels, roadwork in batches(order, scale.side, recipe.batch):
            partition = model.backbone.partition(pixels)
            loss = functional.cross_entropy(model(scale(pixels), partition)[:, :2], roadwork)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(float(loss.detach()))
        say(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}")
    model.train(False)


@torch.inference_mode()
def judged(
    model: AdaptiveClassifier, examples: Sequence[Example], scale: Scale, plain: bool = False
) -> tuple[Report, float]:
    """The report, and the share of the base patches that were tokens; `plain` without adaptive patches."""
    scores, kept, all_ = [], 0, 0
    for pixels, _ in batches(examples, scale.side, 16):
        forced = None
        if plain:
            cells = scale.side // model.backbone.patch
            forced = torch.ones(len(pixels), cells, cells, dtype=torch.bool)
        partition = model.backbone.partition(pixels, forced)
        logits = model(scale(pixels), partition)
        scores += (logits[:, 1] - logits[:, 0]).tolist()
        kept += int(partition.counts().sum())
        all_ += len(pixels) * partition.masks[0][0].numel()
    return report(np.array(scores), np.array([each.roadwork for each in examples])), kept / all_


def train(options: argparse.Namespace, recipe: Recipe, settings: Adaptive) -> dict[str, Any]:
    """Everything; the record that becomes `retrofit.json`."""
    from transformers import AutoModelForImageClassification

    plain = AutoModelForImageClassification.from_pretrained(
        options.model, local_files_only=True, use_safetensors=True
    )
    model = AdaptiveClassifier(plain, settings).train(False)
    assert isinstance(model, AdaptiveClassifier)
    vision = model.backbone.model.config
    scale = Scale.of(options.model, int(vision.image_size))
    test = read(options.data, "val")
    found = {"plain": judged(model, test, scale, plain=True), "untrained": judged(model, test, scale)}
    retrofit(model, read(options.data, "train"), scale, recipe, options.seed, print)
    found["retrofitted"] = judged(model, test, scale)
    options.out.mkdir(parents=True, exist_ok=True)
    if model.model.config.num_labels == len(LABELS):
        model.model.config.id2label = dict(enumerate(LABELS))
    model.save(options.out)
    (options.out / PREPROCESSOR).write_text(json.dumps(scale.to_json(), indent=2) + "\n", encoding="utf-8")
    return {
        "recipe": asdict(recipe),
        "settings": asdict(settings),
        "val": {name: {**each.to_json(), "tokens": share} for name, (each, share) in found.items()},
    }


def main() -> None:
    prog = "python -m models.learn.compression.apt"
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of a transformers classifier")
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv, train and val")
    parser.add_argument("--out", type=Path, required=True)
    thresholds = list(Adaptive.thresholds)
    parser.add_argument("--thresholds", type=float, nargs="+", default=thresholds, help="bits, finest first")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    record = train(options, Recipe(epochs=options.epochs), Adaptive(tuple(options.thresholds)))
    (options.out / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for name, each in record["val"].items():
        print(f"{name}: MCC {each['mcc']:.3f}, AUC {each['auc']:.3f}, tokens {each['tokens']:.1%}")


if __name__ == "__main__":
    main()
