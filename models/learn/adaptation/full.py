"""The weekly run: all layers on new items and replay, then half of the way back.

A copy of the network in service is trained on the labels; its weights and the old ones are then averaged,
which keeps most of what is new and hardly forgets anything (Wortsman et al., "Robust fine-tuning of zero-shot
models", arXiv 2109.01903, at their default of one half). With `distil` the average is trained once more, on
the labels and on what the old and the new network say together (the mean of their log-odds): it is pulled
back to that wherever no label speaks against it (Li and Hoiem, "Learning without forgetting", arXiv
1606.09282), for twice the time. What comes of it is as fast as what it replaces.
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
from models.checkpoint import CALIBRATION
from models.learn.adaptation import bias, candidate
from models.learn.adaptation.daily import calibrated
from models.learn.adaptation.embed import embed
from models.learn.adaptation.items import Item
from models.learn.adaptation.outcome import Learned, compared
from models.learn.fit import Network, Say, Teacher, fit, make_stream
from models.learn.network import PREPROCESSING, revive_norms, save
from models.learn.recipe import Recipe
from models.preprocess import build
from models.preprocess import read as read_preprocess

ARCHITECTURE = "mobilenet_v2"
RECIPE = replace(
    Recipe(), side=160, steps=80, warmup=8, decay=0.95, frozen=6, roadwork_shares={}, none_shares={}
)
"""About 1.2 s of one core a step (AVX2, batch 32): the first six blocks stay as they are."""
NEW = 0.5
"""Share of the new weights in the average."""
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
    distil: bool = False,
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
    some = make_stream(examples, recipe, seed).batches(recipe.batch, 4)
    revive_norms(network, (images for images, _ in some), recipe.momentum)
    grown = fit(examples, None, recipe, seed, say=say, start=copy.deepcopy(network)).network
    made = averaged(network, grown)
    if distil:
        teacher = mean_of([network, grown])
        made = fit(examples, None, recipe, seed + 1, say=say, start=made, teacher=teacher).network
    save(made, out)
    candidate.write_trained(out, [item.key for item in items if not item.held])
    how = f"{recipe.steps} steps, {'distilled' if distil else 'averaged with the old weights'}"
    return _judged(base, out, items, len(training), how, cache)


def averaged(old: Network, new: Network, share: float = NEW) -> Network:
    """A network with `share` of the new one's weights and statistics and the rest of the old one's. Both have
    the same layers, and `new` was trained from `old`."""
    found, before = copy.deepcopy(new), old.state_dict()
    state = {
        name: torch.lerp(before[name], value, share) if value.is_floating_point() else value
        for name, value in new.state_dict().items()
    }
    found.load_state_dict(state)
    return found


def _judged(
    base: Path, out: Path, items: Sequence[Item], trained: int, how: str, cache: Path | None
) -> Learned:
    before, after = embed(base, items, cache), embed(out, items)
    old, aside = read_calibration(base / CALIBRATION), after.pick(after.aside)
    new = bias.recalibrate(Calibration(), aside.raw, aside.roadwork, aside.weights)
    candidate.write_calibration(out, old if new == Calibration() else new)
    new = read_calibration(out / CALIBRATION)
    return compared(
        f"all layers, from {trained} labelled images, {how}",
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
