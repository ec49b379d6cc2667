"""Every registered method keeps what it declares, and what none may lack, on a tiny VLM of random weights."""

from __future__ import annotations

import copy
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from models.compress import METHODS, PROPERTIES, parse
from models.compress.applied import Applied
from models.compress.interface import Marks, View
from models.compress.reading import greedy, say

sys.path.insert(0, str(Path(__file__).parents[1] / "vlm" / "inprocess"))
import tiny_vlms

SHARE = 0.3
SIDE = 112
"""Pixels: 16 visual tokens a picture."""
END: frozenset[int] = frozenset()
QWEN = "qwen2_5_vl"


def with_property(word: str) -> list[str]:
    return [name for name, method in METHODS.items() if word in method.has]


def of_kind(*kinds: str) -> list[str]:
    return [name for name, method in METHODS.items() if method.kind in kinds]


def line(name: str, share: float | None = SHARE) -> str:
    return f"{name} {share}" if METHODS[name].ratio and share is not None else name


def family(*steps: str) -> str:
    """Which VLM: what changes modules wants an encoder whose tokens are one grid."""
    return "llava" if any(parse(step).method.kind == "weights" for step in steps) else QWEN


@pytest.fixture(scope="module")
def models():
    torch.set_num_threads(1)
    return {name: tiny_vlms.model(name) for name in (QWEN, "llava")}


@pytest.fixture(scope="module")
def network(models):
    """Steps -> a network that uses them, the weights being the same each time."""

    def build(*steps: str, of: str | None = None):
        name = of or family(*steps)
        made = copy.deepcopy(models[name]) if family(*steps) == "llava" else models[name]
        return tiny_vlms.tier(name, steps, made=made, side=SIDE)._network

    return build


@pytest.fixture(scope="module")
def dense(network):
    return {name: network(of=name) for name in (QWEN, "llava")}


@pytest.fixture(scope="module")
def scenes():
    drawn = [*tiny_vlms.scenes(2), *tiny_vlms.scenes(1, views=6, seed=1)]
    return {
        name: [[tiny_vlms.Images(name, SIDE)([image], "pt") for image in scene] for scene in drawn]
        for name in (QWEN, "llava")
    }


@pytest.fixture(scope="module")
def said(dense, scenes):
    """What the dense models say to the scene of six views: six tokens, and the logits of each."""
    return {name: spoken(dense[name], scenes[name][2]) for name in dense}


def spoken(network, scene):
    with torch.inference_mode():
        reading = network.reading(scene, END)
        logits, tokens = [reading.first], [int(reading.first.argmax())]
        for _ in range(5):
            logits.append(reading.extend(tokens[-1:])[-1])
            tokens.append(int(logits[-1].argmax()))
    return logits, tokens


def views(count: int = 6, tokens: int = 16) -> list[View]:
    lot = torch.Generator().manual_seed(5)
    return [View(torch.randn(tokens, 32, generator=lot), (4, tokens // 4)) for _ in range(count)]


def later(network, scene, tokens):
    """Logits of a scene's next tokens, these being said."""
    with torch.inference_mode():
        reading = network.reading(scene, END)
        return [reading.first, *(reading.extend([token])[-1] for token in tokens[:-1])]


def test_every_line_of_the_registry_leads_to_a_function_and_declares_known_properties():
    for name, method in METHODS.items():
        assert callable(method.load()), name
        assert method.has <= set(PROPERTIES), name
        assert ("neutral" in method.has) == (method.neutral is not None), name
        assert not {"permutes", "ordered"} <= method.has, name
        assert str(parse(line(name))) == line(name)


@pytest.mark.parametrize("name", with_property("neutral"))
def test_at_its_neutral_setting_a_method_changes_no_bit(name, network, dense, scenes, said):
    step = line(name, METHODS[name].neutral)
    same, of = network(step), family(step)
    for ours, plain in zip(same.read(scenes[of]), dense[of].read(scenes[of]), strict=True):
        assert torch.equal(ours.logits, plain.logits)
    logits, tokens = said[of]
    for ours, plain in zip(later(same, scenes[of][2], tokens), logits, strict=True):
        assert torch.equal(ours, plain)


@pytest.mark.parametrize("name", with_property("first"))
def test_what_touches_the_cache_alone_leaves_the_first_token_and_stores_less(name, network, dense, scenes):
    scenes = scenes[QWEN]
    ours, plain = network(line(name)).read(scenes), dense[QWEN].read(scenes)
    for one, other in zip(ours, plain, strict=True):
        assert torch.equal(one.logits, other.logits)
    assert ours[2].kv_bytes < plain[2].kv_bytes


@pytest.mark.parametrize("name", with_property("count"))
@pytest.mark.parametrize("share", [0.1, SHARE, 0.75])
def test_as_many_tokens_are_kept_as_the_method_says(name, share, network, scenes):
    scenes = scenes[QWEN]
    for one, scene in zip(network(line(name, share)).read(scenes), scenes, strict=True):
        assert one.kept == METHODS[name].count([16] * len(scene), share)
        assert one.visual == 16 * len(scene)


@pytest.mark.parametrize("name", of_kind("prune"))
def test_kept_indices_are_sorted_unique_and_the_same_each_time(name):
    step = parse(line(name))
    constant = [View(torch.ones(16, 32), (4, 4))] * 6
    for given in (views(), views(1), constant):
        kept = METHODS[name].load()(given, step)
        again = METHODS[name].load()(given, step)
        for one, other, view in zip(kept, again, given, strict=True):
            assert one.index.dtype == torch.int64 and torch.equal(one.index, other.index)
            assert bool((one.index.diff() > 0).all())
            assert not len(one.index) or 0 <= int(one.index[0]) <= int(one.index[-1]) < len(view.features)
            assert one.features is None or one.features.shape == (len(one.index), 32)


@pytest.mark.parametrize("name", of_kind("prune"))
def test_text_is_untouched_and_positions_are_kept(name, network, dense, scenes):
    ours, plain = (one._written([scenes[QWEN][2]])[0] for one in (network(line(name)), dense[QWEN]))
    image = tiny_vlms.PICTURE
    assert [one for one in ours.ids if one != image] == [one for one in plain.ids if one != image]
    before, after = ours.positions.flatten(0, -2).T.tolist(), plain.positions.flatten(0, -2).T.tolist()
    left = iter(after)
    assert all(any(each == other for other in left) for each in before)  # a subsequence


@pytest.mark.parametrize("name", with_property("permutes"))
def test_other_cameras_first_keeps_the_same_of_each(name):
    given, order = views(), [3, 0, 5, 1, 4, 2]
    choose, step = METHODS[name].load(), parse(line(name))
    kept = choose(given, step)
    moved = choose([given[at] for at in order], step)
    for at, one in zip(order, moved, strict=True):
        assert torch.equal(one.index, kept[at].index)


@pytest.mark.parametrize("name", with_property("elsewhere"))
def test_what_cannot_run_here_is_refused_with_the_reason(name, network, scenes):
    here = torch.cuda.is_available() if name == "flash" else find_spec("torchao") is not None
    if here:
        pytest.skip(f"{name} can run here")
    with pytest.raises(ValueError, match=rf"^{name}[^:]*: (\S+ ){{4}}"):
        network(line(name))


@pytest.mark.parametrize("name", [name for name in METHODS if name not in with_property("elsewhere")])
def test_a_batch_says_what_each_scene_says_alone(name, network, scenes):
    compressed, scenes = network(line(name)), scenes[family(line(name))]
    for together, scene in zip(compressed.read(scenes), scenes, strict=True):
        (alone,) = compressed.read([scene])
        torch.testing.assert_close(together.logits, alone.logits, atol=1e-3, rtol=1e-3)
        assert (together.kept, together.kv_bytes) == (alone.kept, alone.kv_bytes)


@pytest.mark.parametrize("name", with_property("appends"))
def test_a_cache_fed_piece_by_piece_stores_what_one_fed_at_once_stores(name):
    lot = torch.Generator().manual_seed(2)
    key, value = (torch.randn(1, 2, 9, 16, generator=lot) for _ in range(2))
    read = []
    for pieces in ([4, 5], [4, 2, 2, 1], [4, 1, 1, 1, 1, 1]):
        cache = METHODS[name].load()(parse(line(name)), 1)
        for keys, values in zip(key.split(pieces, 2), value.split(pieces, 2), strict=True):
            cache.update(keys, values, 0)
        found = cache.update(key[:, :, :1], value[:, :, :1], 0)
        read.append([part[:, :, :9] for part in found])
    for other in read[1:]:
        assert torch.equal(read[0][0], other[0]) and torch.equal(read[0][1], other[1])


@pytest.mark.parametrize("name", of_kind("evict"))
def test_text_stays_in_every_layer_that_entries_are_evicted_from(name):
    evictor = METHODS[name].load()(parse(line(name)), 4)
    lot = torch.Generator().manual_seed(4)
    visual = torch.arange(6, 38)
    marks = Marks(44, visual, (16, 16), ((4, 4), (4, 4)), torch.arange(16).repeat(2))
    attention: dict[int, torch.Tensor] = {}
    text = set(range(44)) - set(visual.tolist())
    for layer in range(4):
        if layer in evictor.watched:
            attention[layer] = torch.rand(1, 4, min(evictor.window, 44), 44, generator=lot).softmax(-1)
        states = (torch.randn(1, 2, 44, 16, generator=lot) for _ in range(2))
        kept = evictor.keep(layer, *states, attention, marks)
        assert layer or kept is None
        if kept is not None:
            assert bool((kept.diff(dim=-1) > 0).all()) and kept.shape[-1] < 44
            assert all(text <= set(head) for head in kept[0].tolist()) or name == "streaming"


@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_flex_attention_says_what_the_blocks_along_the_curve_say(network, scenes):
    blocks, flex = (network(f"hilbert 0.3 backend={name}") for name in ("blocks", "flex"))
    for ours, theirs in zip(flex.read(scenes["llava"]), blocks.read(scenes["llava"]), strict=True):
        torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-3, rtol=1e-3)


MIXED = (
    *("downscale 0.5", "evs 0.5", "pvc 0.4 merge=true", "fastv 0.5", "luvc_stages 0.5"),
    *(
        "purekv 0.3 before=true recent=1",
        "snapkv 0.3 window=2",
        "vasparse 0.3",
        "multiview",
        "spatial_temporal",
    ),
    *("multiview", "spatial_temporal", "vasparse_contrast", "specvlm 0.5"),
)


@pytest.mark.parametrize("first", MIXED)
def test_two_steps_go_together_or_are_refused_before_any_picture_is_read(first, network, scenes):
    for second in MIXED[MIXED.index(first) + 1 :]:
        try:
            both = network(first, second, of=QWEN)
        except ValueError as error:
            assert first in str(error) and second in str(error)
        else:
            assert len(both.say(scenes[QWEN][2], 2, END)) == 2


@pytest.mark.parametrize("name", with_property("lossless"))
def test_speculation_says_what_the_model_says_alone(name, network, dense, scenes):
    plain = dense[QWEN]
    step = Applied((parse(line(name)),), plain.parts.layers)
    with torch.inference_mode():
        for scene in scenes[QWEN]:
            assert say(plain.reading(scene, END), step, 8) == greedy(plain.reading(scene, END), 8)
