"""VLMs of several families in this process: what transformers says itself, in fewer steps."""

from __future__ import annotations

import pytest
import tiny_vlms
import torch

from models.compress import plan
from models.compress.plan import Offer
from models.core import MAX_VIEWS
from models.members import load
from models.vlm.labels import LowMass
from models.vlm.question import Question

FAMILIES = tuple(tiny_vlms.CONFIGS)
END: frozenset[int] = frozenset()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def models():
    return {family: tiny_vlms.model(family) for family in FAMILIES}


def prepared(tier, drawn):
    return [tuple(tier.prepare(image) for image in scene) for scene in drawn]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("views", [1, 3])
def test_a_prefill_says_what_transformers_itself_says(family, views, models):
    model = models[family]
    tier = tiny_vlms.tier(family, made=model, reuse=False)
    (scene,) = prepared(tier, tiny_vlms.scenes(1, views))
    (read,) = tier._network.read([scene])
    ids = torch.tensor([tier._network.prompt.ids((read.visual // views,) * views)])
    inputs = {name: torch.cat([view[name] for view in scene]) for name in scene[0]}
    if family.startswith("qwen"):
        inputs["mm_token_type_ids"] = (ids == tiny_vlms.PICTURE).int()
    with torch.inference_mode():
        plain = model(input_ids=ids, attention_mask=torch.ones_like(ids), logits_to_keep=1, **inputs)
    torch.testing.assert_close(read.logits, plain.logits[0, -1], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_text_before_the_pictures_is_read_once_and_changes_nothing(family, models):
    again, once = (tiny_vlms.tier(family, made=models[family], reuse=reuse) for reuse in (False, True))
    scenes = prepared(once, tiny_vlms.scenes(2, 2))
    for one, other in zip(again._network.read(scenes), once._network.read(scenes), strict=True):
        torch.testing.assert_close(one.logits, other.logits, atol=1e-4, rtol=1e-4)
        assert one.kv_bytes == other.kv_bytes


@pytest.mark.parametrize("family", FAMILIES)
def test_scenes_of_any_number_of_views_are_judged_together(family, models):
    tier = tiny_vlms.tier(family, made=models[family])
    scenes = prepared(tier, [tiny_vlms.scenes(1, views, seed=views)[0] for views in (1, MAX_VIEWS, 1, 2)])
    for scene, said in zip(scenes, tier.evidence(scenes), strict=True):
        (alone,) = tier.evidence([scene])
        assert said.log_odds == pytest.approx(alone.log_odds, abs=1e-3)
        assert 0 < said.features["label_mass"] <= 1
        assert said.features["kept_tokens"] == said.features["visual_tokens"] > 0
    with pytest.raises(ValueError, match="1 to 6 views, not 7"):
        tier.evidence([scenes[1] + scenes[0]])


def test_every_spelling_of_a_label_counts_and_a_model_without_one_is_refused():
    from models.vlm.inprocess.tier import label_tokens
    from models.vlm.labels import Labels

    words = tiny_vlms.tokenizer()
    yes, no = label_tokens(words, Labels(("Yes.", "signs"), ("no",)))
    assert [tiny_vlms.WORDS[number] for number in yes.tolist()] == ["yes", "signs"] and len(no) == 1
    with pytest.raises(ValueError, match="no single token of this model spells ja"):
        label_tokens(words, Labels(("ja",), ("no",)))


def test_reasons_are_what_transformers_generates(models):
    model = models["smolvlm"]
    tier = tiny_vlms.tier("smolvlm", made=model, reuse=False)
    (scene,) = prepared(tier, tiny_vlms.scenes(1, 2))
    (read,) = tier._network.read([scene])
    ids = torch.tensor([tier._network.prompt.ids((read.visual // 2,) * 2)])
    inputs = {name: torch.cat([view[name] for view in scene]) for name in scene[0]}
    told = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False, **inputs
    )[0, ids.shape[1] :].tolist()
    said = tier._network.say(scene, 8, frozenset({2}))
    assert said == told[: len(said)] and (len(said) == 8 or said[-1] == 2)


def test_pruned_pictures_make_shorter_prompts_and_packed_caches_smaller_ones(models):
    made = models["qwen3_vl"]
    dense, pruned, packed = (
        tiny_vlms.tier("qwen3_vl", steps, made=made, side=112)
        for steps in ((), ("divprune 0.25",), ("divprune 0.25", "nvfp4", "purekv 0.5"))
    )
    scenes = prepared(dense, tiny_vlms.scenes(2, MAX_VIEWS))
    told = [tier.evidence(scenes)[0].features for tier in (dense, pruned, packed)]
    assert [one["kept_tokens"] for one in told] == [96, 24, 24]
    assert told[0]["kv_bytes"] > 2 * told[1]["kv_bytes"] > 10 * told[2]["kv_bytes"]
    assert isinstance(packed.reason(scenes[:1], 4)[0], str)


@pytest.mark.parametrize(
    ("family", "most"),
    [("llava", 32.0), ("internvl", 2.0), ("qwen2_5_vl", None), ("video_llama_3", None)],
)
def test_what_the_encoder_looked_at_is_told_where_it_looks_at_whole_pictures(family, most, models):
    """By 16 queries of two heads, or by a class token's two heads (and at itself); not by windows."""
    made = models[family]
    plain, watching = (tiny_vlms.tier(family, steps, made=made) for steps in ((), ("visionzip 0.5",)))
    (scene,) = prepared(plain, tiny_vlms.scenes(1, 2))
    for unseen, seen in zip(*(one._network.parts.look(scene) for one in (plain, watching)), strict=True):
        assert torch.equal(unseen.features, seen.features) and unseen.attention is None
        assert (seen.attention is None) == (seen.keys is None) == (most is None)
        if seen.attention is not None and seen.keys is not None:
            assert seen.attention.shape == seen.keys.shape[:1] == seen.features.shape[:1]
            patches = 16 / len(seen.features)  # of which a token is made
            assert 0.8 * most < float(seen.attention.sum()) * patches <= most * 1.001


@pytest.mark.parametrize("family", ["qwen2_5_vl", "video_llama_3"])
def test_a_checkpoint_on_disk_is_a_member_of_the_cascade(tmp_path, family):
    spec = {
        "kind": "vlm_inprocess",
        "path": str(tiny_vlms.save(tmp_path, family)),
        "instruction": tiny_vlms.INSTRUCTION,
        "steps": ["divprune 0.5", "nvfp4", "purekv 0.5"],
        "calibration": {"temperature": 2.0},
    }
    tier = load(spec, "cpu")
    scene = tuple(tier.prepare(image.resize((100, 70))) for image in tiny_vlms.scenes(1, 2)[0])
    (said,) = tier.evidence([scene])
    assert (said.tier, len(said.version)) == ("vlm_inprocess", 12)
    assert said.features["visual_tokens"] == 2 * said.features["kept_tokens"] > 0
    with pytest.raises(ValueError, match="no option of a question is called shout"):
        load({**spec, "shout": True}, "cpu")
    with pytest.raises(ValueError, match="a dtype is one of auto"):
        load({**spec, "dtype": "fp3"}, "cpu")


def test_another_backend_of_the_same_weights_is_another_version(tmp_path):
    from models.vlm.inprocess.load import fingerprint

    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    versions = {
        fingerprint(tmp_path, question, steps)
        for question in (Question(), Question("is there roadwork ?"))
        for steps in ((), ("nvfp4",), ("nvfp4", "divprune 0.5"))
    }
    assert len(versions) == 6


def test_what_does_not_fit_is_refused_in_a_sentence(models):
    with pytest.raises(ValueError, match=r"'fastv 0\.5 layer=9': tokens may go at layers 1 to 3, not at 9"):
        tiny_vlms.tier("internvl", ("fastv 0.5 layer=9",), made=models["internvl"])
    with pytest.raises(ValueError, match="does not go with llama4: some of its layers attend by chunked"):
        tiny_vlms.tier("llama4", ("nvfp4",), made=models["llama4"])
    asked = Question(low_mass=LowMass(rule="absent"))
    with pytest.raises(ValueError, match="low_mass must be wide"):
        from models.vlm.inprocess.load import assemble

        assemble("vlm", "1", models["llava"], None, tiny_vlms.tokenizer(), asked, (), "cpu")


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["divprune"], "say what share divprune keeps, as in 'divprune 0.5'"),
        (["divprune 1.5"], r"lies in \(0, 1\], not 1.5"),
        (["nvfp4 0.5"], "nvfp4 has no share to keep"),
        (["sharpen 2"], "no method is called 'sharpen'; there are: uniform"),
        (["cache: divprune 0.5"], "divprune is of the kind prune, not cache"),
        (["nvfp4", "fp8"], "'nvfp4' and 'fp8' are both of the kind cache: keep one"),
        (["uniform 0.5", "uniform 0.2"], "uniform is there twice"),
        (["fastv 0.5 depth=3"], "fastv has no option depth; there are: layer, seed"),
        (["random 0.5 seed=x"], "a seed is a whole number"),
    ],
)
def test_a_list_of_steps_that_cannot_be_is_refused_in_a_sentence(lines, why):
    with pytest.raises(ValueError, match=why):
        plan(lines)


def test_steps_take_effect_in_their_own_order_and_need_visual_tokens():
    assert [step.name for step in plan(["nvfp4", "divprune 0.5", "prune: uniform 0.9"])] == [
        "divprune",
        "uniform",
        "nvfp4",
    ]
    with pytest.raises(ValueError, match="its pictures are no tokens of its sequence"):
        plan(["divprune 0.5"], Offer("mllama", visual=False))
    with pytest.raises(ValueError, match=r"'int4 group=24' does not go with qwen: int4: groups of 24"):
        plan(["int4 group=24"], Offer("qwen", head_dim=128))
    with pytest.raises(ValueError, match="'nvfp4' does not go with odd: NVFP4 takes blocks of 16: 24"):
        plan(["nvfp4"], Offer("odd", head_dim=24))
