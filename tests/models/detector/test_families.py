"""Every family of detectors becomes a tier that says where it saw what, alone and in a batch alike."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_detectors import CLOSED, LABELS, OPEN, PROMPTS, save
from transformers.image_transforms import center_to_corners_format

from models.core import Tier
from models.detector import load_detector

FAMILIES = [*CLOSED, *OPEN]
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tiers(tmp_path_factory):
    made = {}

    def get(family, **options):
        folder = tmp_path_factory.getbasetemp() / f"detector-{family}"
        if family not in made:
            folder.mkdir()
            made[family] = save(folder, family)
        prompts = {"prompts": PROMPTS} if family in OPEN else {}
        return made[family], load_detector(folder, **prompts, **options)

    return get


def pictures():
    random = np.random.default_rng(5)
    sizes = ((50, 90), (128, 128), (90, 50), (50, 90))
    return [Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_of_mixed_sizes_equals_its_images_alone(tiers, family):
    _, tier = tiers(family, least=0.01)
    prepared = [tier.prepare(image) for image in pictures()]
    for together, item in zip(tier.see(prepared), prepared, strict=True):
        (alone,) = tier.see([item])
        assert together.scores == pytest.approx(alone.scores, abs=1e-4)
        assert together.edges == pytest.approx(alone.edges, abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_empty_image_has_finite_features(tiers, family):
    _, tier = tiers(family)
    for size, colour in (((1, 1), (0, 0, 0)), ((300, 2), (255, 255, 255))):
        (said,) = tier.evidence([tier.prepare(Image.new("RGB", size, colour))])
        assert np.isfinite([said.log_odds, *said.features.values()]).all()
        watched = PROMPTS if family in OPEN else ("Traffic Cone", "Work Vehicle")
        assert len(said.features) == 4 * len(watched)
        assert {box.label for box in said.boxes} <= set(watched)


@pytest.mark.parametrize("family", CLOSED)
def test_a_closed_set_is_read_as_transformers_would(tiers, family):
    model, tier = tiers(family, labels=("traffic cone",))
    image = pictures()[1]
    framed = tier.prepare(image)
    with torch.inference_mode():
        out = model(pixel_values=torch.from_numpy(framed.pixels[None]))
    column = LABELS.index("Traffic Cone")
    if family == "yolos":
        chances = out.logits.softmax(-1)[0, :, column]
    else:
        chances = out.logits.sigmoid()[0, :, column]
    (seen,) = tier.see([framed])
    assert seen.scores[:, 0] == pytest.approx(chances.numpy(), abs=1e-5)
    assert seen.edges == pytest.approx(center_to_corners_format(out.pred_boxes)[0].numpy(), abs=1e-5)


def test_owlv2_boxes_are_relative_to_the_view_not_to_its_padding(tiers):
    _, tier = tiers("owlv2")
    wide = Image.new("RGB", (200, 100), (200, 120, 40))
    framed = tier.prepare(wide)
    assert (framed.across, framed.down) == (1, 2)
    raw = tier._network([framed])[0]
    (seen,) = tier.see([framed])
    assert seen.edges[:, [1, 3]] == pytest.approx(raw.edges[:, [1, 3]] * 2)
    assert seen.edges[:, [0, 2]] == pytest.approx(raw.edges[:, [0, 2]])


def test_prompts_decide_what_an_open_vocabulary_detector_scores(tiers):
    _, tier = tiers("owlv2")
    folder_tier: Tier = tier
    assert folder_tier.evidence([tier.prepare(pictures()[0])])[0].features.keys() == {
        f"{kind}_{name}"
        for kind in ("max", "count", "area", "lowest")
        for name in ("traffic_cone", "road_work_sign")
    }
