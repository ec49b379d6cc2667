"""What cannot serve is refused with a sentence."""

import builtins
import json
import sys

import pytest
import torch
from PIL import Image
from tiny_detectors import save

from models.checkpoint import CheckpointError
from models.detector import load_detector
from models.detector.classes import watch
from models.detector.framing import build


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("detector")
    save(where, "yolos")
    return where


def test_classes_that_look_like_works_are_watched():
    assert watch(["car", "Cone", "Drum", "Work Vehicle"], None) == ["Cone", "Drum", "Work Vehicle"]
    assert watch(["car", "truck"], ["TRUCK"]) == ["truck"]


@pytest.mark.parametrize(
    ("labels", "named"), [(None, "looks like works.*car, truck"), (["bus"], "called bus"), ([], "empty")]
)
def test_a_detector_that_would_watch_nothing_is_refused(labels, named):
    with pytest.raises(CheckpointError, match=named):
        watch(["car", "truck"], labels)


def test_a_version_covers_what_changes_an_answer(folder):
    plain = load_detector(folder).version
    assert load_detector(folder).version == plain
    assert load_detector(folder, labels=["person"]).version != plain
    assert load_detector(folder, least=0.2).version != plain
    assert load_detector(folder, undecided=0.2).version != plain


def test_several_detectors_have_names_of_their_own(folder):
    tier = load_detector(folder, name="second")
    assert tier.evidence([tier.prepare(Image.new("RGB", (40, 30)))])[0].tier == "second"


@pytest.mark.parametrize(("options", "named"), [({"least": 0}, "least"), ({"undecided": 1}, "undecided")])
def test_shares_outside_0_to_1_are_refused(folder, options, named):
    with pytest.raises(CheckpointError, match=named):
        load_detector(folder, **options)


def test_a_classifier_and_a_pickle_are_no_detectors(tmp_path):
    with pytest.raises(CheckpointError, match="needs the path"):
        load_detector(None)
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load_detector(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "preprocessor_config.json").write_text("{}")
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"no .*safetensors"):
        load_detector(tmp_path)
    with pytest.raises(CheckpointError, match="pin it by its commit"):
        load_detector("someone/detector")


def test_prompts_that_cannot_be_told_apart_or_are_missing_are_refused(tmp_path):
    save(tmp_path, "owlv2")
    for prompts in (("cone", "Cone!"), ()):
        with pytest.raises(CheckpointError, match="differ"):
            load_detector(tmp_path, prompts=prompts)


def test_yolo_without_its_package_says_how_to_get_it_and_what_its_licence_asks(tmp_path, monkeypatch):
    path = tmp_path / "yolo12n.onnx"
    path.write_bytes(b"onnx")
    real = builtins.__import__

    def missing(name, *args, **options):
        if name.startswith("ultralytics"):
            raise ImportError("No module named 'ultralytics'")
        return real(name, *args, **options)

    monkeypatch.delitem(sys.modules, "ultralytics", raising=False)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(CheckpointError, match=r"\[yolo\].*AGPL-3.0"):
        load_detector(path)


def test_yolo_pickles_are_refused_with_the_way_round(tmp_path):
    with pytest.raises(CheckpointError, match=r"pickle.*format=onnx"):
        load_detector(tmp_path / "yolo12n.pt")


# preprocessing


def test_edges_keep_the_shape_within_both_limits():
    frame = build(
        {"image_processor_type": "DetrImageProcessor", "size": {"shortest_edge": 80, "longest_edge": 133}}
    )
    assert frame(Image.new("RGB", (400, 300))).pixels.shape == (3, 80, 107)
    assert frame(Image.new("RGB", (1000, 100))).pixels.shape == (3, 13, 133)


def test_values_are_those_of_transformers_own_processor():
    import numpy as np
    from transformers.models.rt_detr.image_processing_pil_rt_detr import RTDetrImageProcessorPil

    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8))
    config = {"size": {"height": 64, "width": 96}}
    own = build({"image_processor_type": "RTDetrImageProcessor", **config})(image).pixels
    theirs = RTDetrImageProcessorPil(**config)(image, return_tensors="np")["pixel_values"][0]
    assert np.abs(own - theirs).max() < 1e-5


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"image_processor_type": "SamImageProcessor"}, "SamImageProcessor"),
        ({"image_processor_type": "DetrImageProcessor", "do_resize": False}, "do_resize"),
        ({"image_processor_type": "DetrImageProcessor", "pad_size": {"height": 9, "width": 9}}, "pad_size"),
        ({"image_processor_type": "DetrImageProcessor", "size": {"longest_edge": 9}}, "size"),
    ],
)
def test_preprocessing_that_cannot_be_honoured_is_refused_by_name(config, named):
    with pytest.raises(ValueError, match=named):
        build(json.loads(json.dumps(config)))
