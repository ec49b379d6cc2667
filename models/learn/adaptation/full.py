"""The weekly run: all layers on new items and replay, then distilled into the model that serves.

Two networks start from the checkpoint in service. The first is trained on labels alone and learns what is
new; together with the old one (the mean of their log-odds) it teaches the second, which has the labels too.
So the second is pulled back to the old one's answers wherever no label speaks against them, which is what
keeps it from forgetting (Li and Hoiem, "Learning without forgetting", arXiv 1606.09282). It is as fast as
what it replaces.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from transformers import AutoConfig, MobileNetV2ForImageClassification

from models.calibration import Calibration
from models.calibration import read as read_calibration
from models.classifier import CALIBRATION
from models.learn.adaptation import bias, candidate
from models.learn.adaptation.daily import calibrated
from models.learn.adaptation.embed import embed
from models.learn.adaptation.items import Item
from models.learn.adaptation.outcome import Learned, compared
from models.learn.fit import Network, Say, Teacher, fit
from models.learn.network import PREPROCESSING, save
from models.learn.recipe import Recipe
from models.preprocess import build
from models.preprocess import read as read_preprocess

ARCHITECTURE = "mobilenet_v2"
RECIPE = replace(Recipe(), steps=120, rate=1e-4, warmup=12, roadwork_shares={}, none_shares={})
FEWEST = 40
"""Items of each class below which all layers would learn the items by heart."""


def full(
    base: Path,
    items: Sequence[Item],
    out: Path,
    *,
    recipe: Recipe = RECIPE,
    seed: int = 0,
    cache: Path | None = None,
    say: Say = print,
) -> Learned:
    """Train on `items` (new ones and replay), never on held ones; write the candidate to `out`.

    Only the embedded default's architecture, at its own preprocessing. Raises `candidate.NotAdaptable`."""
    network = _open(base)
    training = [item for item in items if not item.held and not item.aside]
    counts = [sum(item.roadwork is side for item in training) for side in (False, True)]
    if min(counts) < FEWEST:
        return Learned(False, f"{counts[1]} roadwork and {counts[0]} none: {FEWEST} of each are the fewest")
    examples = [item.example() for item in training]
    grown = fit(examples, None, recipe, seed, say=say, start=copy.deepcopy(network)).network
    teacher = mean_of([copy.deepcopy(network), grown])
    run = fit(examples, None, recipe, seed + 1, say=say, start=network, teacher=teacher)
    save(run.network, out)
    candidate.write_trained(out, [item.key for item in items if not item.held])
    return _judged(base, out, items, len(training), f"{recipe.steps} steps", cache)


def _judged(
    base: Path, out: Path, items: Sequence[Item], trained: int, steps: str, cache: Path | None
) -> Learned:
    before, after = embed(base, items, cache), embed(out, items)
    old, aside = read_calibration(base / CALIBRATION), after.pick(after.aside)
    new = bias.recalibrate(Calibration(), aside.raw, aside.roadwork, aside.weights)
    candidate.write_calibration(out, old if new == Calibration() else new)
    new = read_calibration(out / CALIBRATION)
    return compared(
        f"all layers, from {trained} labelled images, {steps}, distilled",
        trained,
        after.pick(after.held).items,
        calibrated(old, before.pick(before.held).raw),
        calibrated(new, after.pick(after.held).raw),
    )


def mean_of(networks: Sequence[Network]) -> Teacher:
    """The mean of their log-odds, without training them."""
    for network in networks:
        network.train(False)

    def teach(views: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            logits = [network(pixel_values=views).logits.float() for network in networks]
            return torch.stack([each[:, 1] - each[:, 0] for each in logits]).mean(dim=0)

    return teach


def _open(base: Path) -> Network:
    config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    labels = [str(config.id2label[index]).casefold() for index in sorted(config.id2label)]
    if config.model_type != ARCHITECTURE or labels != ["none", "roadwork"]:
        raise candidate.NotAdaptable(
            f"all layers of a {config.model_type} with labels {', '.join(labels)} are not trained here, only "
            f"those of a {ARCHITECTURE} with none, roadwork: the daily head works for it"
        )
    if read_preprocess(base / "preprocessor_config.json") != build(PREPROCESSING):
        raise candidate.NotAdaptable("its preprocessing is not the one that training writes")
    network: Network = MobileNetV2ForImageClassification.from_pretrained(
        base, local_files_only=True, dtype=torch.float32, use_safetensors=True
    )
    return network
