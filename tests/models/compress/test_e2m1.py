"""NVFP4's numbers: every code under every scale, every tie, and what rounding may cost."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.compress.caches import e2m1

VALUES = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])
SCALES = torch.arange(127, dtype=torch.uint8)
TIES = {0.25: 0, 0.75: 1, 1.25: 1, 1.75: 2, 2.5: 2, 3.5: 4, 5.0: 4}


def states(seed: int, width: int = 32, spread: float = 1.0) -> torch.Tensor:
    return torch.randn(2, 3, 5, width, generator=torch.manual_seed(seed)) * spread


def test_scales_are_read_as_e4m3_is_defined():
    assert torch.equal(e2m1.e4m3(SCALES), SCALES.view(torch.float8_e4m3fn).float())


def test_all_codes_under_all_scales_read_back_exactly():
    pairs = (
        torch.arange(16, dtype=torch.uint8)[0::2] | torch.arange(16, dtype=torch.uint8)[1::2] << 4
    ).expand(127, 8)
    read = e2m1.decode(pairs, SCALES[:, None], torch.tensor(0.375))
    assert torch.equal(read, VALUES * (SCALES.view(torch.float8_e4m3fn).float()[:, None] * 0.375))


def test_ties_go_to_the_even_code_on_both_sides_of_zero():
    at, wanted = torch.tensor(list(TIES)), torch.tensor([float(each) for each in TIES.values()])
    assert torch.equal(VALUES[e2m1.nearest(at).int()], wanted)
    assert torch.equal(VALUES[e2m1.nearest(-at).int()], -wanted)
    above = torch.nextafter(at, torch.tensor(torch.inf))
    assert (VALUES[e2m1.nearest(above).int()] > wanted).sum() == 4, (
        "0.25, 1.25, 2.5 and 5 fall down only as ties"
    )


def test_the_even_element_lies_in_the_low_nibble():
    codes, scales = e2m1.encode(torch.tensor([[6.0, -0.5] + [0.0] * 14]), torch.tensor(1 / 448.0))
    assert codes[0].tolist() == [7 | 9 << 4] + [0] * 7
    assert e2m1.e4m3(scales).item() == 448


def test_zeros_stay_zeros():
    nothing = torch.zeros(1, 1, 2, 16)
    scale = e2m1.tensor_scale(nothing)
    assert scale.item() == 1 and not e2m1.decode(*e2m1.encode(nothing, scale), scale).any()


def test_a_row_of_a_batch_has_its_own_scale():
    both = states(0) * torch.tensor([1.0, 100.0])[:, None, None, None]
    scale = e2m1.tensor_scale(both)
    alone = e2m1.encode(both[:1], e2m1.tensor_scale(both[:1]))
    assert all(
        torch.equal(whole[:1], single) for whole, single in zip(e2m1.encode(both, scale), alone, strict=True)
    )


def test_blocks_of_sixteen_only():
    with pytest.raises(ValueError, match="blocks of 16: 24"):
        e2m1.encode(torch.zeros(1, 24), torch.tensor(1.0))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20), spread=st.floats(1e-3, 1e3))
def test_rounding_errs_by_one_block_scale_at_most_and_only_once(seed, spread):
    ours = states(seed, spread=spread)
    scale = e2m1.tensor_scale(ours)
    codes, scales = e2m1.encode(ours, scale)
    read = e2m1.decode(codes, scales, scale)
    allowed = (e2m1.e4m3(scales) * scale).repeat_interleave(16, -1)
    assert ((read - ours).abs() <= allowed).all()
    assert torch.equal(e2m1.decode(*e2m1.encode(read, scale), scale), read)
    mirrored = e2m1.decode(*e2m1.encode(-ours, scale), scale)
    assert torch.equal(mirrored, -read)
