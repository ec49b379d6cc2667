"""The region member on a tiny random backbone: it starts as the classifier, and serves as a tier."""

import json
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from models.checkpoint import CheckpointError
from models.core import Tier
from models.learn.network import open_network, save
from models.regions import load_regions
from models.regions.network import Backbone, Head, pool, start_from
from models.regions.tier import SETTINGS, WEIGHTS, Settings, digest, open_backbone
from models.scenes.stencil import LABELS

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backbone")
    network = open_network(None, 3, width=0.35)
    with torch.no_grad():
        network.classifier.weight.normal_(0, 0.3)
    save(network, folder)
    return folder


def write_head(folder, trained_on, **changes):
    torch.manual_seed(4)
    head = Head(*Backbone(open_backbone(trained_on)).channels)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(0, 0.2)
    save_file({name: value.half() for name, value in head.state_dict().items()}, folder / WEIGHTS)
    settings = Settings(96, 2.0, 0.5, digest(trained_on))
    (folder / SETTINGS).write_text(json.dumps(asdict(settings) | changes))


@pytest.fixture(scope="module")
def tier(backbone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("head")
    write_head(folder, backbone)
    return load_regions(folder, backbone=backbone)


def pictures():
    random = np.random.default_rng(5)
    sizes = ((50, 90), (128, 128), (90, 50), (54, 90))
    return [Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


def test_folding_norms_changes_nothing_and_the_head_starts_as_the_classifier(backbone):
    network = open_backbone(backbone)
    pixels = torch.rand(2, 3, 96, 128) * 2 - 1
    with torch.inference_mode():
        logits = network(pixel_values=pixels).logits
    trunk = Backbone(open_backbone(backbone))
    head = Head(*trunk.channels)
    start_from(head, network)
    with torch.inference_mode():
        maps = head(trunk(pixels))
    assert maps.shape == (2, len(LABELS), 6, 8)
    assert maps[:, 0].mean((1, 2)).tolist() == pytest.approx((logits[:, 1] - logits[:, 0]).tolist(), abs=1e-3)
    assert pool(maps.double(), 1e-3)[:, 0].tolist() == pytest.approx(
        (logits[:, 1] - logits[:, 0]).tolist(), abs=1e-2
    )


def test_pooling_lies_between_mean_and_maximum_and_grows_with_sharpness():
    logits = torch.randn(3, 2, 5, 7, dtype=torch.float64) * 3
    pooled = [pool(logits, sharpness) for sharpness in (0.01, 1.0, 4.0, 100.0)]
    assert all((low <= high).all() for low, high in pairwise(pooled))
    assert (pooled[-1] <= logits.amax((2, 3))).all() and (pooled[0] >= logits.mean((2, 3))).all()


def test_a_batch_of_mixed_shapes_equals_its_frames_alone(tier: Tier):
    prepared = [tier.prepare(image) for image in pictures()]
    for together, item in zip(tier.evidence(prepared), prepared, strict=True):
        (alone,) = tier.evidence([item])
        assert together.log_odds == pytest.approx(alone.log_odds, abs=1e-4)
        assert together.features == pytest.approx(alone.features, abs=1e-4)
        assert len(together.boxes) == len(alone.boxes)


def test_an_empty_frame_has_finite_evidence_and_the_tier_its_name(tier):
    for size in ((1, 1), (300, 2), (64, 64)):
        (said,) = tier.evidence([tier.prepare(Image.new("RGB", size))])
        assert np.isfinite([said.log_odds, *said.features.values()]).all()
        assert (said.tier, said.version) == ("regions", tier.version)
        assert {"max", "area", "count", "lowest", "max_cone"} <= set(said.features)


def test_a_head_made_for_another_classifier_is_refused(backbone, tmp_path):
    write_head(tmp_path, backbone, backbone="0" * 12)
    with pytest.raises(CheckpointError, match=r"trained on classifier 0{12}.*models\.learn\.regions"):
        load_regions(tmp_path, backbone=backbone)


def test_a_calibration_changes_the_answer_and_the_version(backbone, tier, tmp_path):
    write_head(tmp_path, backbone)
    (tmp_path / "calibration.json").write_text('{"temperature": 2}')
    cooled = load_regions(tmp_path, backbone=backbone)
    (hot,), (cold,) = ([each.evidence([each.prepare(pictures()[0])])[0]] for each in (tier, cooled))
    assert cold.log_odds == pytest.approx(hot.log_odds / 2) and cooled.version != tier.version


@pytest.mark.parametrize(
    ("name", "content"), [(SETTINGS, b"{}"), (WEIGHTS, b"not safetensors"), ("calibration.json", b"[")]
)
def test_a_folder_that_is_no_region_head_is_refused_by_name(backbone, tmp_path, name, content):
    write_head(tmp_path, backbone)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        load_regions(tmp_path, backbone=backbone)
