import importlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.preprocess import build, read

PROCESSORS = {
    "vit": ("ViT", [{}, {"size": {"height": 160, "width": 224}, "resample": 3}, {"do_normalize": False}]),
    "bit": ("Bit", [{"size": {"shortest_edge": 256}}, {"crop_size": {"height": 98, "width": 126}}]),
    "convnext": ("ConvNext", [{}, {"size": {"shortest_edge": 224}, "crop_pct": 0.95}]),
    "mobilenet_v2": ("MobileNetV2", [{}, {"size": {"height": 224, "width": 224}, "do_center_crop": False}]),
    "siglip": ("Siglip", [{}, {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]}]),
    "clip": ("CLIP", [{}, {"do_rescale": False}]),
    "deit": ("DeiT", [{}]),
}  # fmt: skip
CASES = [(module, name, options) for module, (name, many) in PROCESSORS.items() for options in many]
SIZES = [(640, 360), (360, 640), (224, 224), (97, 311), (301, 203), (60, 40)]


def picture(width, height):
    y, x = np.mgrid[0:height, 0:width]
    waves = [127 + 120 * np.sin(x / (5 + c) + y / 9) for c in range(3)]
    return Image.fromarray(np.stack(waves, axis=-1).astype(np.uint8))


def reference(module, name, options):
    home = importlib.import_module(f"transformers.models.{module}.image_processing_pil_{module}")
    return getattr(home, f"{name}ImageProcessorPil")(**options)


@pytest.mark.parametrize("module, name, options", CASES)
def test_agrees_with_transformers(module, name, options, tmp_path):
    """Through the file that transformers itself writes, in levels of 255. Where nothing is cropped the same
    library call is made; else its order of passes may differ, and with it the rounding in between."""
    processor = reference(module, name, options)
    processor.save_pretrained(tmp_path)
    ours = read(tmp_path / "preprocessor_config.json")
    level = max(ours.scale)
    for size in SIZES:
        image = picture(*size)
        expected = processor(image, return_tensors="np")["pixel_values"][0]
        found = ours(image)
        assert found.dtype == np.float32 and found.shape == expected.shape and found.flags.c_contiguous
        levels = np.abs(found - expected) / level
        cropped = ours.crop != ours.resize
        assert levels.max() <= (2.01 if cropped else 1e-3)
        assert levels.mean() <= (0.2 if cropped else 1e-3)


@pytest.mark.parametrize("module, name", [(module, name) for module, (name, _) in PROCESSORS.items()])
def test_a_silent_file_means_the_classs_defaults(module, name):
    image = picture(300, 200)
    found = build({"image_processor_type": f"{name}ImageProcessorFast"})(image)
    expected = reference(module, name, {})(image, return_tensors="np")["pixel_values"][0]
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 0.01


def test_the_reference_miners_processor_is_understood():
    """The shape of file that the subnet's baseline and its many copies have."""
    config = {
        "do_convert_rgb": None, "do_normalize": True, "do_rescale": True, "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
        "image_processor_type": "ViTImageProcessor", "resample": 2,
        "rescale_factor": 0.00392156862745098, "size": {"height": 224, "width": 224},
    }  # fmt: skip
    found = build(config)
    assert found.side == 224
    assert found(Image.new("RGB", (50, 90), (255, 0, 128)))[:, 0, 0] == pytest.approx(
        [1, -1, 0.00392], abs=1e-4
    )


@pytest.mark.parametrize(
    "extra, named",
    [
        ({"do_pad": True}, "do_pad"),
        ({"rescale_offset": True, "include_top": True}, "include_top, rescale_offset"),
        ({"size_divisor": 32}, "size_divisor"),
        ({"crop_pct": 0.9}, "crop_pct"),
        ({"do_resize": False}, "do_resize"),
        ({"size": {"longest_edge": 224}}, "longest_edge"),
        ({"size": {"shortest_edge": 224, "longest_edge": 300}}, "longest_edge"),
        ({"size": {"shortest_edge": 224}}, "shortest_edge"),
        ({"size": {"height": 0, "width": 0}}, "size"),
        ({"size": "large"}, "large"),
        ({"resample": 17}, "17"),
        ({"image_mean": [0.5, 0.5]}, "image_mean"),
        ({"image_std": [0.5, 0, 0.5]}, "image_std"),
        ({"do_center_crop": True, "crop_size": 512}, "crop_size"),
        ({"do_center_crop": True, "crop_size": {"shortest_edge": 99}}, "crop_size"),
        ({"image_processor_type": "LevitImageProcessor"}, "LevitImageProcessor"),
        ({"image_processor_type": None}, "image_processor_type"),
    ],
)
def test_what_is_not_honoured_is_refused_by_name(extra, named):
    with pytest.raises(ValueError, match=named):
        build({"image_processor_type": "ViTImageProcessor", **extra})


@pytest.mark.parametrize(
    "extra", [{"crop_pct": 0}, {"size": {"height": 9, "width": 9}}, {"do_center_crop": True}]
)
def test_convnexts_own_options_are_checked(extra):
    with pytest.raises(ValueError, match=r"crop_pct|ConvNext"):
        build({"image_processor_type": "ConvNextImageProcessor", **extra, "crop_size": 64})


def test_options_that_are_off_or_empty_do_no_harm():
    plain = build({"image_processor_type": "ViTFeatureExtractor"})
    assert build({"image_processor_type": "ViTImageProcessor", "do_pad": False, "pad_size": None}) == plain


def test_numbers_for_sizes_mean_what_the_class_means():
    assert build({"image_processor_type": "ViTImageProcessor", "size": 96}).resize == (96, 96)
    assert build({"image_processor_type": "BitImageProcessor", "size": 256}).resize == 256


def test_an_unreadable_file_is_named(tmp_path):
    path = tmp_path / "preprocessor_config.json"
    for content in ("{", "[]", json.dumps({"image_processor_type": 7})):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"preprocessor_config\.json"):
            read(path)


@given(st.integers(1, 3), st.integers(1, 60_000), st.booleans())
@settings(max_examples=25, deadline=None)
def test_strips_cost_no_more_than_other_images(short, long, upright):
    """A strip resized whole, shorter side first, would take gigabytes."""
    image = Image.new("RGB", (short, long) if upright else (long, short), (10, 200, 90))
    for kind in ("Bit", "ConvNext", "ViT"):
        found = build({"image_processor_type": f"{kind}ImageProcessor", "size": {"shortest_edge": 224}}
                      if kind != "ViT" else {"image_processor_type": "ViTImageProcessor"})  # fmt: skip
        pixels = found(image)
        assert pixels.shape == (3, 224, 224)
        assert np.ptp(pixels, axis=(1, 2)).max() < 1e-5
