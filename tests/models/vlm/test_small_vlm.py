"""The small VLM on a backbone of random weights: its layout, its answers and its training; not its wisdom."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from models.calibration import Calibration
from models.checkpoint import CheckpointError
from models.learn.network import open_network, save
from models.learn.small_vlm.fit import Recipe, fit, gather, see, spell
from models.learn.small_vlm.samples import Sample, described, rendered
from models.learn.small_vlm.scenes import Composer
from models.vlm.small import load_small_vlm
from models.vlm.small.layout import lay_out
from models.vlm.small.network import Shape, SmallNetwork
from models.vlm.small.tier import assemble, digest
from models.vlm.small.words import EOS, LONGEST, NO, OBJECTS, TOKENS, WORDS, YES, answer, decode, encode

SMALL = Shape(features=1280, grid=2, width=32, inner=64, layers=2, heads=2)


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("eyes")
    save(open_network(None, seed=0), folder)
    return folder


@pytest.fixture(scope="module")
def tier(eyes):
    torch.manual_seed(3)
    return assemble(eyes, SmallNetwork(SMALL), Calibration(), "v", "cpu")


@pytest.fixture(scope="module")
def views(tier):
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)) for _ in range(6)]
    return [tier.prepare(picture) for picture in pictures]


def test_an_answer_says_yes_or_no_first_and_survives_its_tokens():
    for words in (answer(True, ("cones", "signs"), "on the left"), answer(True), answer(False)):
        assert WORDS[encode(words)[0]] in (YES, NO) and words[-1] == EOS and len(words) <= LONGEST
        assert decode(encode(words)) == " ".join(words[:-1]).replace(" :", ":")
    assert decode(encode(answer(True, ("cones", "signs"), "ahead"))) == "yes: cones and signs ahead"


def test_a_view_sees_the_question_and_itself_and_nobody_sees_an_absent_one():
    layout = lay_out(torch.tensor([[True, False]]), question=2, view=2, answer=2)
    seen = layout.mask[0, 0].int().tolist()
    assert seen == [
        [1, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 1, 0, 0, 0],
        [1, 1, 0, 0, 1, 1, 0, 0],
        [1, 1, 1, 1, 0, 0, 1, 0],
        [1, 1, 1, 1, 0, 0, 1, 1],
    ]
    assert layout.positions[0].tolist() == [0, 1, 2, 3, 2, 3, 4, 5]


def test_the_order_of_the_cameras_changes_nothing_material(tier, views):
    forth, back = tier.logits([tuple(views)]), tier.logits([tuple(reversed(views))])
    torch.testing.assert_close(forth, back, atol=1e-4, rtol=0)


def test_an_absent_camera_is_as_if_it_had_never_been_there(tier, views):
    alone = tier.logits([(views[0], views[1])])
    beside_a_larger_scene = tier.logits([(views[0], views[1]), tuple(views)])[:1]
    torch.testing.assert_close(alone, beside_a_larger_scene, atol=1e-4, rtol=0)


def test_a_batch_says_what_each_scene_says_alone(tier, views):
    scenes = [tuple(views[:count]) for count in (1, 3, 6, 2)]
    together = tier.evidence(scenes)
    for scene, said in zip(scenes, together, strict=True):
        (alone,) = tier.evidence([scene])
        assert said.log_odds == pytest.approx(alone.log_odds, abs=1e-4)
        assert 0 < said.features["label_mass"] < 1 and said.tier == "small_vlm"


def test_reasons_with_a_cache_are_those_without(tier, views):
    scene = (views[0], views[2])
    maps, present = tier._see([scene])
    tokens: list[int] = []
    with torch.inference_mode():
        while len(tokens) < LONGEST and tokens[-1:] != [TOKENS[EOS]]:
            given = torch.tensor([tokens], dtype=torch.long).reshape(1, -1)
            tokens.append(int(tier._network(maps, present, given)[0, -1].argmax()))
    assert tier.reason([scene]) == [decode(tokens)]
    assert tier.reason([scene, tuple(views)])[0] == decode(tokens)


def test_a_scenes_trace_says_what_can_be_seen_and_where():
    trace = np.zeros((100, 90), dtype=np.uint8)
    assert described(trace) == ((), None)
    trace[:, 60:] = 1 + OBJECTS.index("cones")
    trace[:10, :5] = 1 + OBJECTS.index("signs")
    assert described(trace) == (("cones", "signs"), "on the right")


def test_scenes_with_works_show_them_in_a_view_and_scenes_without_in_none():
    samples = [Sample(number % 2 == 0, f"camera{number % 3}") for number in range(30)]
    composer, rng = Composer(samples), np.random.default_rng(1)
    scenes = [composer.draw(rng) for _ in range(300)]
    for scene in scenes:
        assert any(samples[place].roadwork for place in scene.places) == scene.roadwork
        assert len({samples[place].source for place in scene.places}) == 1 and 1 <= len(scene.places) <= 6
    assert 0.4 < np.mean([scene.roadwork for scene in scenes]) < 0.6
    assert 0.4 < np.mean([len(scene.places) == 1 for scene in scenes]) < 0.6


def test_training_learns_to_tell_and_the_folder_serves_what_was_trained(eyes, tmp_path):
    from models.learn.small_vlm.__main__ import save as write

    samples, maps = see(eyes, islice(rendered(5, 24), 24), SMALL.grid)
    works = torch.tensor([each.roadwork for each in samples])
    maps[works, :200] += 2.0  # something that even two tiny layers can see
    recipe = Recipe(steps=100, batch=16, rate=3e-3, warmup=5, checkpoints=())
    network = fit(samples, maps, SMALL, recipe, seed=0, say=lambda text: None)
    scenes = [Composer(samples).draw(np.random.default_rng(n), 1) for n in range(20)]
    seen, present = gather(scenes, maps)
    with torch.inference_mode():
        first = network(seen, present, spell(scenes)[0])[:, 0]
    says_yes = first[:, TOKENS[YES]] > first[:, TOKENS[NO]]
    assert says_yes.tolist() == [scene.roadwork for scene in scenes]

    write(network, tmp_path / "vlm", eyes, {"temperature": 2.0, "threshold": 0.4})
    loaded = load_small_vlm(tmp_path / "vlm", backbone=eyes, device="cpu")
    picture = loaded.prepare(Image.new("RGB", (64, 64), (90, 120, 60)))
    with torch.inference_mode():
        kept = assemble(eyes, network, loaded.calibration, "v", "cpu").evidence([(picture,)])[0]
    assert loaded.evidence([(picture,)])[0].log_odds == pytest.approx(kept.log_odds, abs=0.05)
    assert sum(path.stat().st_size for path in (tmp_path / "vlm").iterdir()) < 4_000_000


def test_a_network_on_another_backbone_is_refused(eyes, tmp_path):
    folder = tmp_path / "vlm"
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load_small_vlm(folder, backbone=eyes, device="cpu")
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "config.json").write_text(json.dumps({"shape": SMALL.to_json(), "backbone_sha256": "0"}))
    with pytest.raises(CheckpointError, match="another backbone"):
        load_small_vlm(folder, backbone=eyes, device="cpu")
    assert digest(eyes / "model.safetensors") != "0"
