"""The settings decide which engine there is."""

import json
from dataclasses import replace
from functools import partial

import pytest
from engine_helpers import COMMAND, until
from engine_tiers import KINDS

import miner.engine as engine_module
from miner.engine import ENGINES, CachedEngine, chosen, classifier, create_engine
from miner.engine.blackbox import BlackBox
from miner.engine.child import ChildEngine
from miner.engine.config import EngineConfig
from miner.engine.golden import golden, refusal
from miner.engine.thread import ThreadEngine
from miner.engine.tiers import build, build_all
from miner.settings import EngineSection, Model
from models.description import Description
from models.imaging.header import Limits

LIMITS = Limits(1000, 2000)


def test_mode_picks_the_engine_and_the_window_the_cache():
    assert isinstance(create_engine(EngineSection(cache_s=0), Model(), "cpu", LIMITS), ChildEngine)
    assert isinstance(
        create_engine(EngineSection(mode="thread", cache_s=0), Model(), "cpu", LIMITS), ThreadEngine
    )
    assert isinstance(create_engine(EngineSection(), Model(), "cpu", LIMITS), CachedEngine)
    assert set(ENGINES) == {"child", "thread"}


def test_the_configuration_crosses_a_process_border_unchanged():
    spec = classifier(Model(path="some/folder", label="cones", threshold=0.3))
    config = EngineConfig(Description("given", (spec,)), device="cuda:1", limits=LIMITS, decoders=3, most=4)
    assert EngineConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert config.on("cpu").device == "cpu"
    assert config.slots == 7


def test_an_engine_without_a_tier_is_refused():
    with pytest.raises(ValueError, match="at least one tier"):
        EngineConfig(Description("given", ()))


def test_an_unknown_tier_is_refused_with_the_known_ones():
    there = "classifier, ensemble, regions, .*trivial, vlm"
    with pytest.raises(ValueError, match=rf"no tier is called 'psychic'; there are: {there}"):
        build({"kind": "psychic"}, "cpu")


async def test_a_device_that_is_not_there_is_said_so():
    engine = create_engine(EngineSection(mode="thread"), Model(), "cuda:77", LIMITS)
    await engine.start()
    await until(lambda: engine.health().state == "down", within=60)
    assert "cuda:77 is not there" in engine.health().detail
    await engine.stop()


def test_the_black_box_holds_who_is_being_worked_on():
    box = BlackBox.create(6)
    box.mark(0, 2, [7])
    box.mark(2, 4, [8, 9, 10, 11, 12])
    assert box.read() == {7, 8, 9, 10, 11}
    box.mark(2, 4, [])
    assert box.read() == {7}
    box.clear()
    assert box.read() == set()
    box.close()


def test_a_model_of_ones_own_is_served_alone_unless_a_cascade_is_named(tmp_path):
    (tmp_path / "cascade.json").write_text(json.dumps({"name": "mine", "tiers": [{"kind": "trivial"}] * 2}))
    own = Model(path="somewhere")
    assert [tier["kind"] for tier in chosen(None, own).tiers] == ["classifier"]
    assert chosen(None, own).tiers[0]["path"] == "somewhere"
    assert [tier["kind"] for tier in chosen("single", Model()).tiers] == ["classifier"]
    assert chosen(str(tmp_path), Model()).name == "mine"
    assert chosen(None, Model()) == chosen("embedded", Model())


def test_a_model_of_ones_own_can_take_the_classifiers_place_in_the_embedded_cascade(tmp_path, monkeypatch):
    tiers = [{"kind": "classifier"}, {"kind": "trivial"}]
    (tmp_path / "cascade.json").write_text(json.dumps({"name": "embedded", "tiers": tiers}))
    monkeypatch.setattr(engine_module, "CASCADE", tmp_path)
    own = chosen("embedded", Model(path="somewhere"))
    assert [tier["kind"] for tier in own.tiers] == ["classifier", "trivial"]
    assert own.tiers[0]["path"] == "somewhere"
    assert chosen("embedded", Model()).tiers[0] == {"kind": "classifier"}
    assert chosen(None, Model()).name == "embedded", "the default, as soon as it comes along"


def test_a_later_member_that_cannot_be_loaded_is_left_out_and_the_first_one_is_not():
    broken = {"kind": "classifier", "path": "no/such/folder"}
    own = {"kind": "trivial"}
    assert [tier.name for tier in build_all([own, broken], "cpu")] == ["trivial"]
    with pytest.raises(ValueError, match="no/such/folder"):
        build_all([broken, own], "cpu")


@pytest.mark.parametrize(
    "kind",
    [
        partial(ChildEngine, command=COMMAND),
        partial(ThreadEngine, build=lambda spec, device: KINDS[spec["kind"]](spec, device)),
    ],
)
async def test_a_model_that_judges_worse_than_guessing_is_not_ready_and_says_why(kind):
    config = EngineConfig(Description("mine", ({"kind": "backwards"},)), device="cpu", standby=False)
    for golden_set, state in ((True, "down"), (False, "ready")):
        engine = kind(replace(config, golden=golden_set))
        await engine.start()
        await until(lambda engine=engine, state=state: engine.health().state == state, within=60)
        assert ("0 of 12 known pictures" in engine.health().detail) == golden_set
        await engine.stop()


def test_one_that_says_always_the_same_is_no_worse_than_guessing():
    items = golden()
    assert refusal(items, [1.0] * len(items)) == ""
    wrong = [-1.0 if item.roadwork else 1.0 for item in items]
    assert "is model.label the positive class" in refusal(items, wrong)
