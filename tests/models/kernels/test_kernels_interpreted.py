"""Kernels, interpreted on this CPU, against their references; and what surrounds them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from models import kernels
from models.compress.segments import allowed, segments

if find_spec("triton") is None:
    pytest.skip(
        "Triton is not installed (pip install -e .[dev]): no kernel is checked", allow_module_level=True
    )

pytestmark = pytest.mark.timeout(600)
"""The interpreter takes seconds of CPU, but waits for one on a machine that is busy."""

NAMES = (
    "nvfp4 pack",
    "nvfp4 unpack",
    "packed attention",
    "multi-view attention",
    "patch entropy",
    "resize and normalise",
)


@pytest.fixture(scope="module")
def compared() -> list[dict]:
    """A process of its own: whether Triton interprets is settled when kernels are imported."""
    said = subprocess.run(
        [sys.executable, "-m", "models.kernels", "--json"],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.stdout, said.stderr
    return json.loads(said.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_a_kernel_does_what_its_reference_does(compared, name):
    ours = [each for each in compared if each["kernel"] == name]
    assert len(ours) >= 3
    assert not [each for each in ours if not each["ok"]]


def test_packing_is_bit_for_bit(compared):
    assert {each["allowed"] for each in compared if each["kernel"] == "nvfp4 pack"} == {0}


def test_who_cannot_run_kernels_is_told_why(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert kernels.missing("cuda") is None
    assert "not on cpu" in kernels.missing("cpu")
    monkeypatch.setattr(kernels, "find_spec", lambda name: None)
    assert "not installed" in kernels.missing("cuda")


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(16, 31), (50, 20)])
def test_resizing_is_the_antialiased_one_of_torch(kind, size):
    from models.kernels import resize

    pixels = torch.randint(0, 256, (1, 37, 53, 3), dtype=torch.uint8, generator=torch.manual_seed(0))
    ours = resize.reference(pixels, size, (1 / 255,) * 3, (0, 0, 0), kind)
    theirs = functional.interpolate(pixels.permute(0, 3, 1, 2).float(), size, mode=kind, antialias=True)
    assert (ours - theirs.clamp(0, 255) / 255).abs().max() < 1e-5


@settings(max_examples=30, deadline=None)
@given(
    views=st.lists(st.integers(1, 20), max_size=5),
    before=st.integers(0, 9),
    after=st.integers(1, 9),
    side=st.sampled_from([4, 8]),
)
def test_no_tile_that_is_needed_is_left_out(views, before, after, side):
    from models.kernels import multiview

    length = before + sum(views) + after
    marks = segments(length, torch.arange(before, before + sum(views)), tuple(views))
    layout = multiview.plan(marks, side)
    for query, key in allowed(marks).nonzero().tolist():
        tile = query // side
        assert key // side in layout.tiles[tile, : layout.counts[tile]].tolist()


def test_most_of_the_work_of_six_views_is_left_out():
    from models.kernels import multiview

    layout = multiview.plan(segments(6 * 256 + 64, torch.arange(64, 6 * 256 + 64), (256,) * 6), 64)
    tiles = len(layout.counts)
    assert int(layout.counts.sum()) < 0.35 * tiles * (tiles + 1) / 2
