"""The model card: written from `training.json`, so that its figures cannot drift from what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ATTRIBUTION = {
    "mi3": "Frames of ROADWork videos, taken from Mi3-Lab/workzone (commit 8edaa893c5c3). ROADWork is "
    "ODC-By 1.0: Ghosh, Zheng, Tamburo, Vuong, Alvarez-Padilla, Zhu, Cardei, Dunn, Mertz, Narasimhan, "
    "*ROADWork*, arXiv 2406.07661. The repository shows an MIT badge and has no licence file. Risk: low.",
    "owais": "owais142002/Road-Object-Detection (commit 9d28917f8bd4). No licence file, though its README "
    "names MIT; by look and name the frames come from RDD (CC BY-SA / CC BY 4.0) and RTSD, which an uploader "
    "cannot license anew; frames that look like BDD100K were removed beforehand. **Risk: highest.**",
    "fatima": "FatimaRana50/YOLOv8-to-Detect-Traffic-Cones (commit add7e7e2dafe), a Roboflow export declared "
    "CC BY 4.0; at least one picture is a stock photograph, so that is doubtful in part. Risk: medium.",
    "vsh": "vsh9705/indian-road-obstacle-detection-dataset (commit 3d98f6071176), MIT; photographs probably "
    "collected from the web. Risk: medium.",
}
UNKNOWN = "No attribution on record: see to it before this model is published."

RISK = """Licences are what uploaders declared; nobody searched the titles. Only weights are published here,
no image and nothing from which one could be rebuilt in practice. Whether weights learned from pictures are
bound by the pictures' licences is unsettled law. The ImageNet starting point is dequantised from Google
Coral's `mobilenet_v2_1.0_224_quant.tflite` (Apache-2.0); ImageNet itself allows research use. Whoever needs
a model without the highest risk trains one with `--without owais`: without that source's streets the
false-positive rate on unseen roads was measured at 24 % instead of about 2 %, which is why it is in."""


def write_card(folder: Path, record: Mapping[str, Any]) -> None:
    """Write `README.md` into the checkpoint's folder."""
    (folder / "README.md").write_text(render(record), encoding="utf-8")


def render(record: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    limits = OUR_LIMITS if ours(record) else LIMITS
    parts = (
        _head(record),
        _use(),
        _results(record),
        _checks(record),
        _training(record),
        limits,
        _data(record),
    )
    return "\n\n".join(parts) + "\n"


def ours(record: Mapping[str, Any]) -> bool:
    """Whether it is of the collection that the embedded default was trained on: of others nothing is known
    here but the figures."""
    return set(record["sources"]) <= set(ATTRIBUTION)


def _head(record: Mapping[str, Any]) -> str:
    of = "The default model of\nstreetvision-miner." if ours(record) else "Trained by\nstreetvision-miner."
    return f"""---
library_name: transformers
pipeline_tag: image-classification
base_model: google/mobilenet_v2_1.0_224
tags: [roadwork, streetvision]
---
# Roadwork on street images: MobileNetV2, 224 px

Says how likely a street image shows roadwork (labels `None`, `Roadwork`). 2.2 million weights in half
precision (load with `dtype=torch.float32`); every layer was fine-tuned. {of}"""


def _use() -> str:
    return """## Intended use

A first model that any CPU can run, for a miner of Bittensor subnet 72 and for rehearsals; the lowest step
of a cascade, and the baseline that a better model has to beat. Not for anything on which someone's safety
depends. `calibration.json` holds what `models.classifier` applies to the raw log-odds: minus
logit(threshold), divided by temperature. Preprocessing scales both axes to 224 px, as the reference miner's
pipeline does."""


def _results(record: Mapping[str, Any]) -> str:
    seeds: Sequence[Mapping[str, Any]] = record["seeds"]
    shipped = seeds[0]
    names = ", ".join(str(each["seed"]) for each in seeds)
    return f"""## Results

On the validation split (never trained on, never chosen on), as served, over JPEG bytes, at equal
prevalence. Intervals: 95 %, bootstrap over whole sequences; there are few of them, so they are optimistic.
Regimes: `augmented` and `letterbox` as the validators of 2025 and April 2026 distort (four levels),
`native` the plain frame. Reward: the subnet's per query, (1.5 accuracy - 0.5)^3.

Shipped network (seed {shipped["seed"]}):

{table(shipped["val"])}

Spread over {len(seeds)} seeds ({names}), balanced MCC; every seed saw the same images:

{_spread(seeds)}

Out of fold on the training split (cross-fitted, no model judged what it was trained or stopped on;
temperature and threshold are the two numbers fitted on these very answers):

{table(record["cross_fit"]["out_of_fold"])}"""


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Lines as `evaluate.lines_to_json` writes them, as a Markdown table."""
    head = "| source | regime | images | MCC [95 %] | TPR | TNR | accuracy | AUC | ECE | reward |"
    rows = [head, "|---" * 10 + "|"]
    for line in lines:
        figures = [_number(line[name]) for name in ("tpr", "tnr", "accuracy", "auc", "ece", "reward")]
        mcc = _number(line["mcc"])
        if line["mcc_95"]:
            mcc += " [" + " ".join(map(_number, line["mcc_95"])) + "]"
        rows.append(
            "| " + " | ".join((line["source"], line["regime"], str(line["count"]), mcc, *figures)) + " |"
        )
    return "\n".join(rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _spread(seeds: Sequence[Mapping[str, Any]]) -> str:
    rows = ["| source | regime | each seed | mean | sd |", "|---|---|---|---|---|"]
    for index, line in enumerate(seeds[0]["val"]):
        values = [each["val"][index]["mcc"] for each in seeds]
        if None not in values:
            each = ", ".join(map(_number, values))
            sd = _number(float(np.std(values, ddof=1))) if len(values) > 1 else "-"
            rows.append(f"| {line['source']} | {line['regime']} | {each} | {np.mean(values):.3f} | {sd} |")
    return "\n".join(rows)


def _checks(record: Mapping[str, Any]) -> str:
    shipped = record["seeds"][0]
    found, scenes = shipped["shortcuts"], shipped["scenes"]
    within = ", ".join(f"{source} {_number(mcc)}" for source, mcc in found["within"].items())
    one_sided = "Two sources show one label only, so they teach their camera. " if ours(record) else ""
    return f"""## Shortcuts, checked

- Image size and aspect alone reach balanced MCC {found["size_mcc"]:.2f} on these images. In training every
  frame that is shown whole gets a random aspect, whatever its source and label. Cut wide (16:9) and not
  square, the validation split's streets without works move by {found["shape_shift"]:+.2f} (log-odds, mean).
- {one_sided}Patches with works are pasted into streets of
  every source and patches without works into both labels. Inside the sources of the validation split that
  have both labels, where the camera says nothing, balanced MCC is: {within}.
- Rendered scenes it has not seen (`models.scenes`): balanced MCC {_number(scenes["mcc"])}, AUC
  {_number(scenes["auc"])}."""


def _training(record: Mapping[str, Any]) -> str:
    recipe, calibration = record["recipe"], record["calibration"]
    versions = ", ".join(f"{name} {value}" for name, value in record["versions"].items())
    return f"""## Training

    {record["command"]}

BatchNorm statistics measured and rewritten first (they come folded), momentum {recipe["momentum"]};
{recipe["side"]} px, batch {recipe["batch"]}, AdamW at {recipe["rate"]}, cosine over {recipe["steps"]} steps
of which {record["cross_fit"]["step"]} were run (chosen out of fold), moving average {recipe["decay"]},
label smoothing {recipe["smoothing"]}, products in {record["precision"]}. Views: `models/learn/views.py`.
{recipe["scenes"]} scenes rendered by `models.scenes` (seed {recipe["scene_seed"]}) take part. Calibration:
temperature {calibration["temperature"]}, threshold {calibration["threshold"]}.
{record["wall_minutes"]} minutes on two CPU cores. {versions}. `training.json` beside this file has every
figure."""


OUR_LIMITS = """## Limits

- A small set: the validation split has 3 clips with works, all by one camera fleet in US cities by day.
  Half of the second decimal of any figure above is chance.
- Training labels are wrong in 4-6 % (roadwork) and 1-3 % (none) of the images by eye.
- Orange things that are no works, night, snow, works without cones or signs, and countries other than the
  USA are thinly covered. No synthetic (diffusion) image was in training or test, though validators send
  many.
- Small works far away are lost at 224 px. A validator's random crop may cut the works away and keep the
  label."""


LIMITS = """## Limits

- Figures hold for roads, cameras and weather like those of the validation split; how many drives stand behind
  them shows in the intervals. Nobody has counted how many of the labels are wrong.
- Small works far away are lost at 224 px. A validator's random crop may cut the works away and keep the
  label."""


def _data(record: Mapping[str, Any]) -> str:
    rows = [
        "| source | train roadwork + none | val roadwork + none | what it is, licence |",
        "|---|---|---|---|",
    ]
    for source, (works, none, test_works, test_none) in sorted(record["sources"].items()):
        told = ATTRIBUTION.get(source, UNKNOWN)
        rows.append(f"| {source} | {works}+{none} | {test_works}+{test_none} | {told} |")
    return "## Data, licences, attribution\n\n" + "\n".join(rows) + ("\n\n" + RISK if ours(record) else "")
