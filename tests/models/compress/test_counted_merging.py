"""Merged tokens count for as many as they are: in attention, in the served frame, and in later words."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import LlamaConfig, LlamaModel

from models.compress import counted, parse, plan
from models.compress.applied import Applied
from models.compress.attention import install
from models.compress.interface import Kept, Marks, View
from models.compress.prefill import crop, extend, prefill
from models.vlm.small.compressed import Compressed, offer
from models.vlm.small.network import Shape, SmallNetwork
from models.vlm.small.pruned import first_word

sys.path.insert(0, str(Path(__file__).parents[1] / "vlm" / "inprocess"))
import tiny_vlms

END: frozenset[int] = frozenset()


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.manual_seed(seed))


def test_a_key_that_counts_for_three_is_the_key_three_times():
    query, key, value = drawn(1, 4, 2, 8), drawn(1, 2, 5, 8, seed=1), drawn(1, 2, 5, 8, seed=2)
    often = torch.tensor([3, 1, 2, 1, 1])
    wanted = scaled_dot_product_attention(
        query, *(each.repeat_interleave(often, 2).repeat_interleave(2, 1) for each in (key, value))
    )
    everyone = torch.ones(1, 1, 2, 5, dtype=torch.bool)
    weight = often.float().log().expand(1, 2, 5)
    for mask in (everyone, torch.zeros(1, 1, 2, 5)):
        added = counted.add(mask, weight, query, 5)
        found = scaled_dot_product_attention(
            query, *(each.repeat_interleave(2, 1) for each in (key, value)), added
        )
        torch.testing.assert_close(found, wanted)
    causal = counted.add(None, weight, query, 5)
    assert causal[0, 0, 0].isinf().tolist() == [False] * 4 + [True] and causal[0, 0, 1].isfinite().all()


def test_sizes_go_through_steps_that_follow_one_another():
    view = View(drawn(16, 6), (4, 4))
    merged_twice = Applied(plan(["luvc 0.5", "pvc 0.5 merge=true"]), 2).choose([view])[0]
    assert len(merged_twice.index) == 4 and float(merged_twice.sizes.sum()) == 16
    total = (merged_twice.features * merged_twice.sizes[:, None]).sum(0)
    torch.testing.assert_close(total, view.features.sum(0), atol=1e-4, rtol=1e-4)
    thinned = Applied(plan(["luvc 0.5", "uniform 0.5"]), 2).choose([view])[0]
    assert thinned.sizes.shape == (4,) and float(thinned.sizes.sum()) < 16
    for line in (
        "luvc 0.5 count=false",
        "pvc 0.5 merge=true count=false",
        "pvc 0.5",
        "luvc 1",
        "pvc 1 merge=true",
    ):
        step = parse(line)
        assert step.method.load()([view], step)[0].sizes is None
    assert counted.of_scene([Kept(torch.arange(2)), thinned]).tolist()[:2] == [1, 1]


@pytest.fixture(scope="module")
def small() -> SmallNetwork:
    torch.manual_seed(0)
    made = SmallNetwork(Shape(features=8, grid=4, width=32, inner=64, layers=2, heads=2))
    for each in made.decoder.parameters():
        each.data *= 3
    return made.train(False)


@pytest.mark.parametrize("line", ["luvc 0.25", "pvc 0.25 merge=true"])
def test_the_served_small_vlm_counts_as_the_bench_does(small, line):
    maps, present = drawn(2, 3, 8, 4, 4), torch.ones(2, 3, dtype=torch.bool)
    model = Compressed(small, Applied(plan([line], offer(small)), 2))
    seen = small.look(maps)
    features, kept, sizes = seen.clone(), torch.zeros(2, 3, 16, dtype=torch.bool), torch.zeros(2, 3, 16)
    for scene in range(2):
        for view, one in enumerate(model.applied.choose([View(each, (4, 4)) for each in seen[scene]])):
            features[scene, view, one.index], kept[scene, view, one.index] = one.features, True
            sizes[scene, view, one.index] = one.sizes
    wanted = first_word(small, features, present, kept, sizes)
    found = torch.stack([one.logits for one in model.read(maps, present)])
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    uncounted = Compressed(small, Applied(plan([f"{line} count=false"], offer(small)), 2))
    assert not torch.allclose(uncounted.read(maps, present)[0].logits, wanted[0], atol=1e-2)


@pytest.fixture(scope="module")
def llama() -> LlamaModel:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=9, hidden_size=64, intermediate_size=48, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2,
    )  # fmt: skip
    made = LlamaModel(config).train(False)
    install(made)
    for each in made.parameters():
        each.data *= 4
    return made


def read(llama: LlamaModel, lines: list[str], embeds: torch.Tensor, sizes: torch.Tensor | None):
    length = embeds.shape[1]
    places = torch.arange(length)[None]
    marks = Marks(length, torch.arange(2, 10), (4, 4), ((2, 2), (2, 2)), torch.arange(4).repeat(2))
    with torch.inference_mode():
        return prefill(llama, Applied(plan(lines), 3), embeds, places, marks, sizes=sizes)


@pytest.mark.parametrize("lines", [[], ["multiview"], ["fastv 1"]])
def test_later_words_count_as_the_prompt_did_and_words_may_be_taken_back(llama, lines):
    embeds, sizes = drawn(1, 15, 64), torch.tensor([[3.0, 1, 1, 2, 1, 5, 1, 1]])
    whole = read(llama, lines, embeds, sizes).hidden
    state = read(llama, lines, embeds[:, :12], sizes)
    applied = Applied(plan(lines), 3)
    extend(llama, applied, state, embeds[:, 1:3])
    crop(state, 2)
    extend(llama, applied, state, embeds[:, 12:13])
    said = extend(llama, applied, state, embeds[:, 13:])[:, -1]
    torch.testing.assert_close(said, whole, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(read(llama, lines, embeds, None).hidden, whole, atol=1e-2)


def test_a_cache_that_would_not_be_read_back_is_where_tokens_count(llama):
    embeds, sizes = drawn(1, 13, 64), torch.tensor([[3.0, 1, 1, 2, 1, 5, 1, 1]])
    said = []
    for lines in (["fp8"], ["nvfp4"], ["nvfp4 packed=true"]):
        state = read(llama, lines, embeds[:, :12], sizes)
        said.append(extend(llama, Applied(plan(lines), 3), state, embeds[:, 12:]))
    assert torch.equal(*said[1:]) and not torch.equal(*said[:2])


@pytest.mark.parametrize(
    "line", ["purekv 0.5 sinks=1 recent=1", "purekv 0.5 before=true recent=1", "fastv 0.5", "streaming 0.3"]
)
def test_what_is_forgotten_or_dropped_takes_its_count_along(llama, line):
    lines = [line]
    embeds, sizes = drawn(2, 12, 64, seed=3), torch.tensor([[3.0, 1, 1, 2, 1, 5, 1, 1]] * 2)
    ones, none = read(llama, lines, embeds, sizes * 0 + 1), read(llama, lines, embeds, None)
    torch.testing.assert_close(ones.hidden, none.hidden, atol=1e-4, rtol=1e-4)
    state = read(llama, lines, embeds, sizes)
    for layer, weight in state.weights.items():
        assert weight.shape[-1] == state.cache.layers[layer].get_seq_length()
        assert set(weight.exp().round().flatten().tolist()) <= {1, 2, 3, 5}
    assert state.weights[2].shape[-1] < 12
    applied = Applied(plan(lines), 3)
    more = drawn(2, 1, 64, seed=4)
    torch.testing.assert_close(
        *(extend(llama, applied, one, more) for one in (ones, none)), atol=1e-4, rtol=1e-4
    )
    assert extend(llama, applied, state, more).isfinite().all()


@pytest.mark.parametrize("line", ["luvc 0.3", "pvc 0.3 merge=true"])
def test_a_vlm_counts_alone_and_in_a_batch(line):
    made = tiny_vlms.model("qwen2_5_vl")
    ours, plain = (
        tiny_vlms.tier("qwen2_5_vl", (each,), made=made, side=112)._network
        for each in (line, f"{line} count=false")
    )
    images = tiny_vlms.Images("qwen2_5_vl", 112)
    scenes = [[images([one], "pt") for one in scene] for scene in tiny_vlms.scenes(2, views=2)]
    together = ours.read(scenes)
    for one, scene in zip(together, scenes, strict=True):
        torch.testing.assert_close(one.logits, ours.read([scene])[0].logits, atol=1e-3, rtol=1e-3)
        assert not torch.allclose(one.logits, plain.read([scene])[0].logits, atol=1e-3)
    assert len(ours.say(scenes[0], 4, END)) == 4
