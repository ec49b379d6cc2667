"""Adaptive patches: entropy, quadtree, and tiny random ViTs that must not notice a uniform division."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    Dinov2Config,
    Dinov2ForImageClassification,
    SiglipConfig,
    SiglipForImageClassification,
    SiglipVisionConfig,
    ViTConfig,
    ViTForImageClassification,
)

from models.compress import parse
from models.compress.apt import quadtree, vit
from models.compress.apt.entropy import bits, coarser, entropies, histograms, planes
from models.compress.apt.quadtree import divide, forced_band, forced_by_boxes
from models.compress.apt.tower import convert
from models.compress.apt.vit import Adaptive, AdaptiveClassifier

sys.path.insert(0, str(Path(__file__).parents[1] / "vlm" / "inprocess"))
import tiny_vlms

SIDE, PATCH = 64, 8
NEVER, ALWAYS = (-1.0, -1.0), (99.0, 99.0)
SHAPE = {
    "image_size": SIDE,
    "patch_size": PATCH,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


def model_of(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    if kind == "vit":
        return ViTForImageClassification(ViTConfig(**SHAPE)).train(False)
    if kind == "dinov2":
        return Dinov2ForImageClassification(Dinov2Config(**SHAPE)).train(False)
    config = SiglipConfig(vision_config=SiglipVisionConfig(**SHAPE).to_dict(), num_labels=2)
    return SiglipForImageClassification(config).train(False)


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    """Noise in the lower half, a flat upper half."""
    rng = np.random.default_rng(0)
    found = rng.integers(0, 256, (3, 3, SIDE, SIDE), dtype=np.uint8)
    found[:, :, : SIDE // 2] = 120
    found[1, :, :16, :16] = rng.integers(0, 256, (3, 16, 16))
    return torch.from_numpy(found)


def cover(partition: quadtree.Partition) -> torch.Tensor:
    """How many tokens cover each base patch."""
    whole = torch.zeros_like(partition.masks[0], dtype=torch.long)
    for scale, mask in enumerate(partition.masks):
        for image, row, column in mask.nonzero().tolist():
            whole[image, row << scale : (row + 1) << scale, column << scale : (column + 1) << scale] += 1
    return whole


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.float() / 127.5 - 1


@pytest.mark.parametrize("kind", ["vit", "dinov2", "siglip"])
def test_without_merging_logits_are_the_plain_models_bit_for_bit(kind, pictures):
    plain, adaptive = model_of(kind), AdaptiveClassifier(model_of(kind), Adaptive(NEVER))
    with torch.inference_mode():
        wanted = plain(normalised(pictures)).logits
        found = adaptive(normalised(pictures), adaptive.backbone.partition(pictures))
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("kind", ["vit", "siglip"])
def test_a_batch_says_what_each_picture_says_alone_in_any_order(kind, pictures):
    model = AdaptiveClassifier(model_of(kind), Adaptive((4.5, 3.5)))
    with torch.inference_mode():
        partition = model.backbone.partition(pictures)
        together = model(normalised(pictures), partition)
        assert len(set(partition.counts().tolist())) > 1
        for row in range(3):
            one = pictures[row : row + 1]
            alone = model(normalised(one), model.backbone.partition(one))
            torch.testing.assert_close(together[row : row + 1], alone, atol=1e-6, rtol=0)
        turned = pictures[[2, 0, 1]]
        again = model(normalised(turned), model.backbone.partition(turned))
    torch.testing.assert_close(again, together[[2, 0, 1]], atol=1e-6, rtol=0)


def test_untrained_the_branch_is_silent_and_trained_it_speaks(pictures):
    model = AdaptiveClassifier(model_of("vit"), Adaptive(ALWAYS))
    partition = model.backbone.partition(pictures)
    assert partition.counts().tolist() == [4, 4, 4]
    with torch.inference_mode():
        before = model(normalised(pictures), partition)
        model.backbone.coarse.gather.weight.mul_(7)
        assert torch.equal(model(normalised(pictures), partition), before)
        model.backbone.coarse.zero.weight.fill_(0.1)
        assert not torch.equal(model(normalised(pictures), partition), before)
    model(normalised(pictures), partition).sum().backward()
    assert model.backbone.coarse.gather.weight.grad.abs().sum() > 0


def test_every_pixel_is_covered_once_whatever_is_forced(pictures):
    found = entropies(pictures, PATCH, 3)
    few = torch.rand(3, 8, 8, generator=torch.manual_seed(0)) < 0.1
    for forced, strict in ((None, False), (few, False), (few, True)):
        partition = divide(found, (4.0, 3.0), (8, 8), forced, strict)
        assert torch.equal(cover(partition), torch.ones(3, 8, 8, dtype=torch.long))
        if forced is not None:
            assert partition.masks[0][forced].all()


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5))
def test_sides_that_larger_cells_do_not_divide_keep_base_patches_at_the_border(rows, columns):
    pixels = torch.full((1, 3, rows * PATCH, columns * PATCH), 7.0)
    partition = divide(entropies(pixels, PATCH, 3), ALWAYS, (rows, columns))
    assert torch.equal(cover(partition), torch.ones(1, rows, columns, dtype=torch.long))
    assert int(partition.masks[2].sum()) == (rows // 4) * (columns // 4)


def test_entropy_is_numpys_and_a_parent_has_at_least_its_childrens_mean(pictures):
    counts = histograms(planes(pictures), 16)
    cell = planes(pictures)[0, 1, 32:48, 16:32].numpy()
    share = np.histogram(cell, bins=512, range=(0, 255))[0] / 256
    wanted = -(share[share > 0] * np.log2(share[share > 0])).sum()
    assert float(bits(counts)[0, 1, 2, 1]) == pytest.approx(wanted, abs=1e-4)
    children = bits(counts).reshape(3, 3, 2, 2, 2, 2).mean(dim=(3, 5))
    assert (bits(coarser(counts)) >= children - 1e-5).all()
    assert torch.equal(entropies(torch.zeros(1, 3, 32, 32), 8, 3)[1], torch.zeros(1, 1, 1))


def test_a_flat_cell_does_not_swallow_a_detailed_one_where_that_is_asked(pictures):
    found = entropies(pictures, PATCH, 3)  # the second picture has a detailed corner in a flat half
    published, strict = (divide(found, (4.5, 3.5), (8, 8), strict=each) for each in (False, True))
    assert published.masks[2][1, 0, 0] and not strict.masks[2][1, 0, 0]
    assert strict.masks[0][1, :2, :2].all() and strict.masks[1][1, 0, 1]


def test_a_cone_of_the_roads_own_brightness_is_seen_by_its_colour():
    rng = np.random.default_rng(0)
    road = np.clip(110 + rng.normal(0, 4, (1, 3, 32, 32)), 0, 255)
    cone = road.copy()
    orange = np.array([214.0, 76.0, 15.0])
    orange += 110 - orange @ [0.2989, 0.5870, 0.1140]  # the same luma as the road
    cone[0, :, 4:26, 10:22] = orange[:, None, None] + rng.normal(0, 4, (3, 22, 12))
    grey, seen = (torch.from_numpy(each).float() for each in (road, cone))
    luma = [float(entropies(each, 16, 2, colour=False)[0]) for each in (grey, seen)]
    both = [float(entropies(each, 16, 2)[0]) for each in (grey, seen)]
    assert abs(luma[1] - luma[0]) < 0.3 and both[1] - both[0] > 0.5


def test_boxes_and_bands_force_base_patches():
    forced = forced_by_boxes([[(17, 17, 22, 22)], []], (64, 64), 8, margin=0)
    assert forced[0].nonzero().tolist() == [[2, 2]] and not forced[1].any()
    assert forced_by_boxes([[(17, 17, 22, 22)]], (64, 64), 8, margin=1)[0].sum() == 9
    assert forced_by_boxes([[(60, 60, 999, 999)]], (64, 64), 8, margin=0)[0].sum() == 1
    assert forced_band((8, 8), 0.25, 0.5)[0].any(dim=1).tolist() == [False] * 2 + [True] * 2 + [False] * 4


def test_large_cells_stand_at_each_of_their_patches(pictures):
    model = AdaptiveClassifier(model_of("vit"), Adaptive((4.5, 3.5)))
    with torch.inference_mode():
        partition = model.backbone.partition(pictures)
        dense = model.backbone(normalised(pictures), partition).dense((8, 8))
    assert partition.masks[2][0, 0, 0] and torch.equal(dense[0, 0, 0], dense[0, 3, 3])
    assert not torch.equal(dense[0, 7, 7], dense[0, 7, 6]) and dense.abs().sum(-1).gt(0).all()


def test_a_vlms_encoder_hands_on_the_same_grid_and_without_merging_the_same_bits(pictures):
    whole = torch.nn.Module()
    whole.vision_tower = plain = model_of("siglip").vision_model
    seen = normalised(pictures)
    with torch.inference_mode():
        wanted = plain(seen, output_hidden_states=True)
        convert(whole, parse("apt fine=-1 coarse=-1"))
        same = whole.vision_tower(seen)
    assert torch.equal(same.last_hidden_state, wanted.last_hidden_state)
    assert all(torch.equal(same.hidden_states[at], wanted.hidden_states[at]) for at in (0, 1, -1))
    with torch.inference_mode():
        convert(whole, parse("apt fine=99 coarse=99"))
        flat = whole.vision_tower(seen).last_hidden_state
    assert flat.shape == wanted.last_hidden_state.shape and len(flat[0].unique(dim=0)) == 4
    with pytest.raises(ValueError, match="this model has none"):
        convert(model_of("vit"), parse("apt"))


@pytest.mark.parametrize("family", ["smolvlm", "internvl"])
def test_other_vlms_encoders_are_taken_and_without_merging_say_the_same(family):
    made = tiny_vlms.model(family)
    plain, never, always = (
        tiny_vlms.tier(family, steps, made=copy.deepcopy(made))
        for steps in ((), ("apt fine=-1 coarse=-1",), ("apt fine=99 coarse=99",))
    )
    scene = [plain.prepare(image) for image in tiny_vlms.scenes(1, 2)[0]]
    told = [tier._network.read([scene])[0].logits for tier in (plain, never, always)]
    assert torch.equal(told[0], told[1]) and not torch.allclose(told[0], told[2], atol=1e-3)
    if family == "smolvlm":
        seen = torch.randn(1, 3, 28, 28, generator=torch.manual_seed(0))
        hidden = torch.ones(1, 4, 4, dtype=torch.bool)
        hidden[:, :, 3] = False
        towers = [tier._network.parts.model.model.vision_model for tier in (plain, always)]
        padded = [each(seen, patch_attention_mask=hidden).last_hidden_state for each in towers]
        torch.testing.assert_close(*padded)
    with pytest.raises(ValueError, match="this model has none"):
        tiny_vlms.tier("qwen2_5_vl", ("apt",))


def test_it_comes_back_from_disk_and_other_models_are_refused(pictures, tmp_path):
    model = AdaptiveClassifier(model_of("dinov2"), Adaptive((4.5,), colour=False))
    model.backbone.coarse.zero.weight.data.fill_(0.05)
    model.save(tmp_path)
    again = Dinov2ForImageClassification.from_pretrained(tmp_path)
    loaded = vit.restore(again, tmp_path)
    with torch.inference_mode():
        partition = loaded.backbone.partition(pictures)
        assert torch.equal(loaded(normalised(pictures), partition), model(normalised(pictures), partition))
    with pytest.raises(ValueError, match="not siglip_text_model"):
        from transformers import SiglipTextConfig, SiglipTextModel

        tiny = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
        vit.AdaptiveViT(SiglipTextModel(SiglipTextConfig(vocab_size=10, **tiny)))
