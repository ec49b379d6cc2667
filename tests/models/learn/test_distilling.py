"""What makes distillation distillation: the teacher is followed, never trained, and can be taken away."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

from models.checkpoint import CheckpointError
from models.classifier import load_classifier
from models.learn.data import read
from models.learn.distil.anchors import ALIKE, WORKS, prompts
from models.learn.distil.drawn import ATTRIBUTES, drawn
from models.learn.distil.settings import image_text, objective, soft
from models.learn.distil.soft import SoftLabels
from models.learn.distil.teachers import Clip, ensemble, to_images
from models.learn.distil.vl2lite import SCALE, TEMPERATURE, VL2Lite, linguistic_loss, visual_loss
from models.learn.network import open_network, save, write_calibration
from models.learn.recipe import Recipe
from models.learn.tune.backbone import open_backbone
from models.learn.tune.method import Method
from models.learn.tune.training import Labels, Seen, tune
from models.scenes import write_scenes

WIDTH, STUDENT = 12, 7


class Tutor:
    """Sees the brightness of a view's three colours, and turns it into directions."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.width = WIDTH
        self.anchors = functional.normalize(torch.randn(5, WIDTH, generator=generator), dim=1)
        self.mix = torch.randn(3, WIDTH, generator=generator)
        self.asked = 0

    def look(self, views):
        self.asked += 1
        return functional.normalize(views.mean(dim=(2, 3)) @ self.mix, dim=1)


def seen(count=6, seed=1):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([float(index % 2) for index in range(count)])
    logits = torch.randn(count, 2, generator=generator, requires_grad=True)
    features = torch.randn(count, STUDENT, generator=generator, requires_grad=True)
    return Seen(torch.rand(count, 3, 8, 8, generator=generator) * 2 - 1, labels, logits, features)


def test_without_a_teacher_it_is_plain_cross_entropy_bit_for_bit():
    tutor, batch = Tutor(), seen()
    plain = functional.cross_entropy(batch.logits, batch.labels.long(), label_smoothing=0.05)
    for aim in (
        Labels(0.05),
        SoftLabels(lambda views: pytest.fail("not asked"), 1.0, 0.05),
        VL2Lite(tutor, STUDENT, weight=1.0, smoothing=0.05),
    ):
        assert torch.equal(aim(batch, 3), plain)
    assert tutor.asked == 0


def test_a_student_that_says_what_the_teacher_says_has_nothing_to_learn_from_it():
    batch = seen()
    aim = SoftLabels(lambda views: batch.log_odds.detach(), 0.0)
    (slope,) = torch.autograd.grad(aim(batch, 1), batch.logits)
    assert torch.allclose(slope, torch.zeros_like(slope), atol=1e-7)
    tutor = Tutor()
    images = tutor.look(batch.views)
    assert linguistic_loss(images, tutor.anchors, images, tutor.anchors).item() == pytest.approx(0, abs=1e-6)
    assert visual_loss(images, images).item() == 0


def test_the_linguistic_loss_is_the_papers():
    """Its code: KLDivLoss(mean over all cells) x T^2 x classes / 2."""
    tutor, batch = Tutor(), seen()
    images, condensed = tutor.look(batch.views), torch.randn(5, STUDENT)
    target = functional.softmax(SCALE * images @ tutor.anchors.T / TEMPERATURE, dim=1)
    unit = functional.normalize(batch.features, dim=1) @ functional.normalize(condensed, dim=1).T
    said = functional.log_softmax(SCALE * unit / TEMPERATURE, dim=1)
    cells = (target * (target.log() - said)).mean()
    found = linguistic_loss(batch.features, condensed, images, tutor.anchors)
    assert found.item() == pytest.approx((cells * TEMPERATURE**2 * 5 / 2).item(), rel=1e-5)


@given(scale=st.floats(0.01, 100))
@settings(max_examples=10, deadline=None)
def test_how_long_features_are_does_not_matter(scale):
    batch, condensed = seen(), torch.randn(5, STUDENT, generator=torch.Generator().manual_seed(2))
    tutor = Tutor()
    images = tutor.look(batch.views)
    for loss in (
        lambda features: visual_loss(features, condensed[:1].expand(6, -1)),
        lambda features: linguistic_loss(features, condensed, images, tutor.anchors),
    ):
        assert loss(batch.features * scale).item() == pytest.approx(loss(batch.features).item(), rel=1e-3)


def test_a_weight_that_is_no_share_is_refused():
    with pytest.raises(ValueError, match="must lie in"):
        VL2Lite(Tutor(), STUDENT, weight=1.5)


def test_features_do_not_collapse_to_one_direction():
    """Both sides of the visual loss are trained: alone it is least for a constant."""
    torch.manual_seed(3)
    student = torch.nn.Linear(3 * 8 * 8, STUDENT)
    aim = VL2Lite(Tutor(), STUDENT, weight=0.1)
    optimiser = torch.optim.AdamW([*student.parameters(), *aim.parameters()], lr=1e-2)
    for step in range(1, 51):
        batch = seen(16, seed=step)
        features = student(batch.views.flatten(1))
        loss = aim(replace(batch, features=features, logits=features[:, :2]), step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert functional.normalize(features, dim=1).std(dim=0).mean() > 0.02


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("scenes")
    for path in write_scenes(folder, 6, seed=80):
        with Image.open(path) as image:
            image.resize((96, 72)).save(path)
    return [replace(each, source="drawn", sequence=f"{index % 3}") for index, each in enumerate(read(folder))]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    network = open_network(None, 0, 0.35)
    with torch.no_grad():  # running statistics of a batch: random weights alone end in zeros
        network.train()(pixel_values=torch.randn(8, 3, 64, 64))
    save(network, folder)
    write_calibration(folder, {"temperature": 1.0, "threshold": 0.5})
    return folder


def test_views_become_the_pictures_that_they_were():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3), dtype=np.uint8)
    views = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert all(
        np.array_equal(np.asarray(image), each) for image, each in zip(to_images(views), pixels, strict=True)
    )


def test_an_ensemble_teaches_the_mean_of_calibrated_log_odds(small, scenes):
    first, second = load_classifier(small), load_classifier(small, temperature=0.5, threshold=0.3)
    views = torch.rand(2, 3, 32, 32) * 2 - 1
    said = [
        [each.log_odds for each in tier.evidence([*map(tier.prepare, to_images(views))])]
        for tier in (first, second)
    ]
    assert torch.allclose(ensemble([first, second])(views), torch.tensor(np.mean(said, axis=0)).float())
    assert torch.allclose(soft(f"ensemble:{small}", "cpu")(views), torch.tensor(said[0]).float())


@pytest.mark.parametrize("kind", ["kd", "vl2lite"])
def test_a_student_trains_with_a_teacher_that_stays_as_it_was(small, scenes, kind, monkeypatch):
    views = torch.rand(2, 3, 32, 32) * 2 - 1
    told, shown = soft(f"ensemble:{small}", "cpu"), drawn(small, scenes=2)
    monkeypatch.setattr("models.learn.distil.settings.soft", lambda text, device: told)
    monkeypatch.setattr("models.learn.distil.settings.image_text", lambda text, device: shown)
    teach = {"kd": told, "vl2lite": shown.look}[kind]
    before = teach(views)
    recipe = Recipe(side=32, batch=2, steps=2, warmup=1, rate=1e-3, checkpoints=(1.0,))
    start = partial(open_backbone, small, None, 0)
    plain = tune(start, scenes, recipe, Method("full"), 0, say=lambda _: None)
    aim = objective(kind, "a teacher", recipe, "cpu", 0.3)
    taught = tune(start, scenes, recipe, Method("full"), 0, objective=aim, say=lambda _: None)
    assert taught.losses != plain.losses and np.isfinite(taught.losses).all()
    assert set(taught.backbone.module.state_dict()) == set(plain.backbone.module.state_dict())
    assert torch.equal(teach(views), before)


def test_the_drawn_teacher_tells_attributes_apart(small):
    teacher = drawn(small, scenes=2)
    assert teacher.anchors.shape == (len(ATTRIBUTES), teacher.width)
    found = teacher.look(torch.rand(2, 3, 32, 32) * 2 - 1)
    assert found.shape == (2, teacher.width) and not found.requires_grad
    assert torch.allclose(found.norm(dim=1), torch.ones(2), atol=1e-5)


def test_there_are_attributes_of_works_and_of_look_alikes():
    assert 40 <= len(prompts()) <= 80 and len(set(prompts())) == len(WORKS) + len(ALIKE)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    words = sorted({word for text in prompts() for word in text.split()})
    vocabulary = {word: index for index, word in enumerate(["[PAD]", "[UNK]", "[EOS]", *words])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", eos_token="[EOS]"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={
            **shape,
            "vocab_size": len(vocabulary),
            "max_position_embeddings": 16,
            "eos_token_id": 2,
        },
        vision_config={**shape, "image_size": 32, "patch_size": 16},
        projection_dim=10,
    )
    CLIPModel(config).save_pretrained(folder)
    told = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "crop_size": 32}
    told["crop_size"] = {"height": 32, "width": 32}
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
    return folder


def test_an_image_and_text_model_from_a_folder_teaches(clip, small):
    teacher = image_text(f"clip:{clip}", "cpu")
    assert isinstance(teacher, Clip) and teacher.anchors.shape == (len(prompts()), 10)
    found = teacher.look(torch.rand(3, 3, 24, 24) * 2 - 1)
    assert found.shape == (3, 10) and torch.allclose(found.norm(dim=1), torch.ones(3), atol=1e-5)
    with pytest.raises(CheckpointError, match=r"is no image-and-text model|has no image and text"):
        image_text(f"clip:{small}", "cpu")


@pytest.mark.parametrize("text", ["ensemble:", "clip", "nobody:here"])
def test_an_unknown_teacher_is_refused_with_those_there_are(text):
    with pytest.raises(ValueError, match="a teacher of"):
        soft(text, "cpu")
    with pytest.raises(ValueError, match="a teacher of"):
        image_text(text, "cpu")
