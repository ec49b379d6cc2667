"""What caches forget: how many, never text, in order; and what each method looks at."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.compress import parse
from models.compress.evict.purekv import spatial_temporal_mask
from models.compress.interface import Marks
from models.compress.step import Step

NAMES = ("purekv", "vatp", "snapkv", "streaming")
LAYERS, HEADS, GROUPS, WIDTH = 4, 4, 2, 8


def marks(views: int = 2, side: int = 4, before: int = 5, after: int = 6) -> Marks:
    size = side * side
    return Marks(
        length=before + views * size + after,
        visual=torch.arange(before, before + views * size),
        views=(size,) * views,
        grids=((side, side),) * views,
        origin=torch.arange(size).repeat(views),
    )


def drawn(seed: int, who: Marks, rows: int = 2):
    ahead = torch.manual_seed(seed)
    key, value = (torch.randn(rows, GROUPS, who.length, WIDTH, generator=ahead) for _ in range(2))
    seen = {
        layer: torch.randn(rows, HEADS, 8, who.length, generator=ahead).softmax(-1) for layer in range(LAYERS)
    }
    return key, value, seen


def evictor(text: str):
    step: Step = parse(text)
    return step.method.load()(step, LAYERS)


@settings(max_examples=10, deadline=None)
@given(name=st.sampled_from(NAMES), share=st.sampled_from([0.1, 0.2, 0.5, 0.9]), seed=st.integers(0, 999))
def test_as_many_as_said_in_order_and_all_of_the_text(name, share, seed):
    who = marks()
    kept = evictor(f"{name} {share} sinks=0 recent=0").keep(3, *drawn(seed, who), who)
    text = len(set(range(who.length)) - set(who.visual.tolist()))
    assert kept.shape == (2, GROUPS, text + max(1, int(32 * share + 0.5)))
    assert (kept.diff(dim=-1) > 0).all()
    for head in kept.flatten(0, 1).tolist():
        assert set(range(5)) | set(range(37, 43)) <= set(head)


@pytest.mark.parametrize("name", sorted(set(NAMES)))
def test_everything_stays_at_share_one_and_in_the_first_layer(name):
    who = marks()
    assert evictor(f"{name} 1").keep(3, *drawn(0, who), who) is None
    assert evictor(f"{name} 0.2").keep(0, *drawn(0, who), who) is None


@pytest.mark.parametrize("name", sorted(set(NAMES)))
def test_a_row_chooses_for_itself(name):
    who = marks()
    key, value, seen = drawn(1, who)
    ours = evictor(f"{name} 0.2")
    both = ours.keep(2, key, value, seen, who)
    alone = ours.keep(2, key[1:], value[1:], {layer: each[1:] for layer, each in seen.items()}, who)
    assert torch.equal(both[1:], alone)


def test_purekv_ranks_by_a_shallow_layers_attention_times_the_values_length():
    who = marks(views=1, side=3, before=0, after=0)
    key, value = torch.zeros(1, 2, 9, WIDTH), torch.ones(1, 2, 9, WIDTH)
    seen = {1: torch.tensor([9.0, 8, 7, 6, 5, 4, 3, 2, 1]).expand(1, HEADS, 8, 9)}
    ours = evictor("purekv 0.23 sinks=0 recent=0")
    assert ours.watched == {1} and ours.keep(1, key, value, seen, who) is None
    assert ours.keep(2, key, value, seen, who).tolist() == [[[0, 1]] * 2]
    value[:, 1, 8] = 100
    assert ours.keep(2, key, value, seen, who).tolist() == [[[0, 1], [0, 8]]]
    assert evictor("purekv 0.23 sinks=0 recent=0 heads=shared").keep(2, key, value, seen, who).tolist() == [
        [[0, 8]] * 2
    ]
    assert torch.equal(ours.keep(2, key, value * 7, seen, who), ours.keep(2, key, value, seen, who))


def test_equal_scores_keep_the_earlier_and_sinks_stay():
    who = marks(views=1, side=4, before=0, after=0)
    flat = torch.ones(1, 2, 16, WIDTH)
    seen = {1: torch.ones(1, HEADS, 8, 16)}
    assert evictor("purekv 0.25 sinks=0 recent=0").keep(2, flat, flat, seen, who)[0, 0].tolist() == [
        0,
        1,
        2,
        3,
    ]
    assert evictor("purekv 0.25 sinks=1 recent=2").keep(2, flat, flat, seen, who)[0, 0].tolist() == [
        0,
        1,
        14,
        15,
    ]


def test_the_sum_of_lower_layers_when_asked():
    assert evictor("purekv 0.2 source=2 lower=all").watched == {0, 1, 2}
    assert evictor("purekv 0.2 before=true").before
    with pytest.raises(ValueError, match="layers 0 to 2, not 3"):
        evictor("purekv 0.2 source=3")


def test_peers_look_at_their_own_layer_and_streaming_at_nothing():
    who = marks(views=1, side=4, before=1, after=1)
    key, value, seen = drawn(4, who, rows=1)
    seen[2] = torch.zeros(1, HEADS, 8, who.length)
    seen[2][..., 9] = 1
    assert 9 in evictor("vatp 0.07 sinks=0").keep(2, key, value, seen, who)[0, 0].tolist()
    spread = evictor("snapkv 0.3 recent=0").keep(2, key, value, seen, who)[0, 0].tolist()
    assert spread == [0, 7, 8, 9, 10, 11, 17]
    assert evictor("streaming 0.25 sinks=0").keep(2, key, value, {}, who)[0, 0].tolist() == [
        0,
        13,
        14,
        15,
        16,
        17,
    ]
    with pytest.raises(ValueError, match="odd number"):
        evictor("snapkv 0.3 pool=4")


def test_the_spatial_temporal_mask_of_one_view_is_the_causal_one():
    one = spatial_temporal_mask(marks(views=1))
    assert torch.equal(one, torch.ones_like(one).tril())


def test_the_spatial_temporal_mask_sees_its_view_and_its_place_in_views_before():
    who = marks(views=6, side=8, before=3, after=2)
    mask = spatial_temporal_mask(who)
    assert not mask.triu(1).any() and mask.any(1).all()
    assert mask[-1].all() and mask[:, 0].all()
    row = mask[3 + 64 * 2 + 9]
    assert row.nonzero().flatten().tolist() == [0, 1, 2, 12, 76, *range(131, 141)]
    pairs = int(mask[3:-2, 3:-2].sum())
    assert pairs == 6 * 64 * 65 // 2 + 64 * 15
    with pytest.raises(ValueError, match="whole grids"):
        spatial_temporal_mask(Marks(3, torch.tensor([1]), (1,), ((2, 2),), torch.tensor([0])))
