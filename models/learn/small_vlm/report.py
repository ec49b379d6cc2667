"""What came out: scenes of six views, reasons on scenes not seen in training, and the card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.core import MAX_VIEWS
from models.learn.card import table
from models.learn.data import Example
from models.learn.metrics import report
from models.learn.regimes import SIDE
from models.learn.small_vlm.samples import Sample, rendered
from models.learn.small_vlm.scenes import Composer
from models.vlm.small.tier import SmallVLM
from models.vlm.small.words import OBJECTS

TEST_SEED = 903
"""Scenes that no training rendered."""


def six_views(tier: SmallVLM, examples: Sequence[Example], count: int = 200, seed: int = 0) -> dict[str, Any]:
    """On scenes of six composed from the examples' whole frames at 224 px; the report as JSON."""
    samples = [Sample(each.roadwork, each.source) for each in examples]
    inputs = [tier.prepare(each.load().resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for each in examples]
    composer, rng = Composer(samples), np.random.default_rng(seed)
    scenes = [composer.draw(rng, MAX_VIEWS) for _ in range(count)]
    said = [tier.evidence([tuple(inputs[place] for place in scene.places)])[0].log_odds for scene in scenes]
    return report(np.array(said), np.array([scene.roadwork for scene in scenes])).to_json()


def reasons(tier: SmallVLM, count: int = 200) -> dict[str, float]:
    """On rendered scenes: `form` share of reasons that are of the grammar, `first` mean agreement of the
    largest object named, `f1` of the sets of objects, `side` share of right sides; the last three over scenes
    with works that it answers with yes. `yes` how many those are."""
    right: dict[str, list[float]] = {"form": [], "first": [], "f1": [], "side": []}
    for image, sample in rendered(TEST_SEED, count):
        (said,) = tier.reason([(tier.prepare(image),)])
        right["form"].append(float(said.startswith(("yes: ", "no: nothing seen"))))
        if sample.roadwork and said.startswith("yes: "):
            named = [word for word in said.split() if word in OBJECTS]
            right["first"].append(float(named[:1] == [sample.objects[0]]))
            right["f1"].append(_f1(set(named), set(sample.objects[:3])))
            right["side"].append(float(sample.side is not None and said.endswith(sample.side)))
    means = {name: float(np.mean(values)) if values else float("nan") for name, values in right.items()}
    return {**means, "yes": float(len(right["f1"]))}


def _f1(named: set[str], true: set[str]) -> float:
    common = len(named & true)
    return 2 * common / (len(named) + len(true)) if common else 0.0


def write_card(folder: Path, record: Mapping[str, Any]) -> None:
    """Write `README.md` into the checkpoint's folder."""
    (folder / "README.md").write_text(render(record), encoding="utf-8")


def render(record: Mapping[str, Any]) -> str:
    """The card as Markdown, from `training.json`."""
    six, said, recipe = record["six_views"], record["reasons"], record["recipe"]
    return f"""---
library_name: transformers
pipeline_tag: image-text-to-text
base_model: roadwork-mobilenetv2
tags: [roadwork, streetvision]
---
# A small VLM for roadwork: MobileNetV2 maps, {record["shape"]["layers"]} Llama layers

Answers "is there roadwork in any of these views?" with yes or no and a short reason, over one to six views.
{record["parameters"]:,} weights of its own, in half precision, on the backbone of the embedded classifier,
which it shares and does not change. It is the real VLM tier of a rehearsal and the test bed of the
compression methods; a large VLM behind a server is far better at everything that it does.

## Results

On the validation split (never trained on, never chosen on), as served, at equal prevalence; intervals 95 %,
bootstrap over whole sequences, of which there are few:

{table(record["val"])}

Scenes of six views composed from frames of one source (works in at least one view): balanced MCC
{six["mcc"]:.3f}, AUC {six["auc"]:.3f} over {six["count"]} scenes.

Out of fold on the training split, on backbones that did not see the fold either (temperature and threshold
are fitted on these very answers):

{table(record["out_of_fold"])}

Reasons, on 200 rendered scenes that it has not seen: {said["form"]:.1%} are of the grammar; where it rightly
says yes ({said["yes"]:.0f} scenes) it names the largest object in {said["first"]:.1%}, the three largest with
an F1 of {said["f1"]:.2f}, and the right side in {said["side"]:.1%}. On photographs a reason names works or
cones at most: nobody labelled more, and there the words beyond yes and no are a guess.

## Training

    {record["command"]}

{recipe["views"]} training views of photographs and {recipe["scenes"]} of rendered scenes, their maps cached;
scenes of one to six views composed from views of one source; {record["step"]} of {recipe["steps"]} steps
(chosen out of fold), AdamW, batch {recipe["batch"]}. The first word is trained with weight 1, the reason with
{recipe["reason"]}. {record["wall_minutes"]} minutes on two CPU cores. `training.json` beside this file has
every figure. Data, licences and limits are the classifier's: see `../roadwork-mobilenetv2/README.md`.
"""
