"""What fits where: sums that add up, more memory never fits less, and what no hardware can do is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.catalog import CATALOGUE, find
from models.residency import GPUS, BadGPUs, Member, Refusal, check_kv, check_weights, parse, parts, place
from models.residency.inprocess import here
from models.residency.launch import NoCheckpoint, launches
from models.residency.on_demand import on_demand
from models.residency.plan import budget
from models.residency.presets import FEASIBLE, ORIGINAL, judge
from models.residency.roofline import roofline

H100 = GPUS["H100-80"]
NAMES = sorted(name for name, model in CATALOGUE.items() if model.parameters)
members = st.builds(
    Member,
    model=st.sampled_from([CATALOGUE[name] for name in NAMES]),
    precision=st.sampled_from(["bf16", "fp8"]),
    concurrency=st.integers(1, 32),
)
cards = st.lists(st.sampled_from(list(GPUS.values())), min_size=1, max_size=4)


@given(st.lists(members, max_size=5), cards)
def test_what_lies_on_a_gpu_adds_up_and_leaves_the_reserve_alone(chosen, gpus):
    plan = place(chosen, gpus)
    for index, gpu in enumerate(gpus):
        own = sum(part.bytes for placed in plan.on(index) for part in placed.parts)
        assert plan.used(index) == own + plan.engine(index) <= budget(gpu)
        assert plan.free(index) == gpu.memory - plan.used(index)
    if plan.fits:
        assert [placed.member for placed in plan.placements] == chosen
        assert all(placed.concurrency >= placed.member.concurrency for placed in plan.placements)
    else:
        assert not plan.placements and all(plan.refused)


@given(st.lists(members, min_size=1, max_size=4), cards, st.integers(0, 64))
def test_more_memory_never_fits_less(chosen, gpus, more):
    if place(chosen, gpus).fits:
        larger = [replace(gpu, memory=gpu.memory + more * 2**30) for gpu in gpus]
        assert place(chosen, larger).fits
        assert place(chosen, [*gpus, H100]).fits


def test_a_split_model_takes_its_share_of_each_gpu_and_the_vision_tower_whole():
    model = find("qwen3-vl-235b-a22b")
    one, four = (Member(model, "fp8", tensor_parallel=n) for n in (1, 4))
    weights = [next(part.bytes for part in parts(each) if part.name == "weights") for each in (one, four)]
    vision = 2 * model.vision
    assert weights[1] == pytest.approx(vision + (weights[0] - vision) / 4, abs=2)


def test_kv_by_hand():
    # 36 layers x 2 x 8 KV heads x 128 x 2 bytes; 96 of the prompt, 6 views of 64, one answer
    member = Member(find("qwen3-vl-8b"), "fp8")
    assert member.model.kv_bytes("bf16") == 147_456
    assert member.request_tokens == 96 + 6 * 64 + 1
    assert member.request_bytes == 147_456 * 481


@pytest.mark.parametrize("preset", FEASIBLE, ids=lambda preset: preset.name)
def test_a_proposed_preset_fits_its_own_gpus_and_can_be_started(preset):
    plan = place(preset.resident, parse(preset.gpus))
    assert plan.fits, plan.refused
    assert all(not on_demand(member, plan).refused for member in preset.on_demand)
    started = launches(plan)
    assert len({each.port for each in started}) == len(started)
    for each in started:
        words = dict(zip(each.argv, each.argv[1:], strict=False))
        assert words["--port"] == str(each.port) and f"--port {each.port}" in each.command
        assert 0 < float(words["--mem-fraction-static"]) < 0.95


def test_each_server_gets_its_pool_out_of_what_is_free_when_it_comes():
    chosen = [Member(find(name), "fp8") for name in ("roadwork-mobilenetv2", "qwen3-vl-8b", "qwen3-vl-32b")]
    plan = place(chosen, [H100])
    free = H100.memory - plan.engine(0) - plan.placements[0].bytes
    for placed, started in zip(plan.placements[1:], launches(plan), strict=True):
        words = dict(zip(started.argv, started.argv[1:], strict=False))
        before = free - placed.part("process")
        pool = before * float(words["--mem-fraction-static"]) - placed.part("weights")
        assert pool == pytest.approx(placed.part("KV cache"), rel=0.02)
        free -= placed.bytes
    assert free > 0


def test_the_original_tables_are_refused_with_sums_that_can_be_followed():
    for members in ORIGINAL.values():
        lines = judge(members, H100)
        refused = [line for line in lines if not line.kept]
        assert refused
        for line in refused:
            assert line.before + line.needs > line.room
            assert f"{(line.before + line.needs) / 1e9:.1f} GB of {line.room / 1e9:.1f} GB" in line.sentence
        kept = [line for line in lines if line.kept]
        assert sum(line.needs for line in kept) <= budget(H100)


def test_a_maverick_is_400_gb_though_17_b_are_active():
    line = next(
        line for line in judge(ORIGINAL["original-gpu1"], H100) if "maverick" in line.member.model.name
    )
    assert line.needs > 400e9 and "alone it needs 8 such GPUs" in line.sentence


def test_an_nvfp4_cache_on_a_hopper_is_refused_by_what_works():
    with pytest.raises(Refusal, match=r"needs Blackwell.*use fp8"):
        check_kv(H100, "nvfp4")
    check_kv(GPUS["B200-192"], "nvfp4")
    with pytest.raises(Refusal, match="use bf16"):
        check_kv(GPUS["A100-80"], "fp8")
    assert "weight-only" in check_weights(GPUS["A100-80"], "fp8") and not check_weights(H100, "fp8")
    plan = place([Member(find("qwen3-vl-8b"), kv="nvfp4")], [H100])
    assert "needs Blackwell" in plan.refused[0]


@pytest.mark.parametrize("text", ["", "3", "2xH900", "0xH100", "H100-80;", "65x24"])
def test_gpus_that_nobody_knows_are_refused_by_those_that_are_known(text):
    with pytest.raises(BadGPUs, match="H100-80"):
        parse(text)


def test_gpus_as_people_write_them():
    assert [gpu.name for gpu in parse("2xH100-80, 1x24")] == ["H100-80", "H100-80", "RTX4090-24"]
    assert parse("h200") == parse("1x141") == (GPUS["H200-141"],)


@given(members, st.sampled_from([gpu for gpu in GPUS.values() if gpu.fp8]))
def test_a_bound_is_a_bound(member, gpu):
    bound = roofline(member, gpu)
    if member.model.text is None:
        assert bound is None
        return
    assert 0 < bound.busy_ms <= bound.alone_ms
    faster = replace(gpu, bf16=2 * gpu.bf16, fp8=2 * gpu.fp8, bandwidth=2 * gpu.bandwidth)
    assert roofline(member, faster).alone_ms == pytest.approx(bound.alone_ms / 2)


def test_a_heavy_model_on_demand_says_who_makes_room():
    plan = place([Member(find("qwen3-vl-8b"), "fp8"), Member(find("qwen3-vl-32b"), "fp8")], [H100])
    later = on_demand(Member(find("internvl3.5-38b"), "fp8"), plan)
    assert later.evicted == ("qwen3-vl-32b",) and later.load_s == pytest.approx(45.6 / 3, rel=0.01)
    assert on_demand(Member(find("qwen3-vl-4b"), "fp8"), place([], [H100])).evicted == ()
    assert "needs" in on_demand(Member(find("internvl3-78b"), "fp8"), plan).refused


def test_a_precision_without_a_checkpoint_is_refused_by_those_that_exist():
    plan = place([Member(find("qwen3-vl-8b"), "int4")], [H100])
    with pytest.raises(NoCheckpoint, match="there are: bf16, fp8"):
        launches(plan)


def test_a_model_in_process_has_no_server_and_its_steps_shrink_its_cache():
    model = find("qwen3-vl-4b")
    dense, packed = here(model, []), here(model, ["divprune 0.2", "nvfp4"])
    assert packed.request_tokens < dense.request_tokens
    assert packed.request_bytes < dense.request_bytes * 4.5 / 16
    (placed,) = place([packed], [H100]).placements  # a server would refuse NVFP4 on Hopper
    assert {part.name for part in placed.parts} == {"weights", "KV cache", "activations"}
    plan = place([packed, Member(model)], [H100, H100])
    assert plan.fits and len(launches(plan)) == 1
    assert plan.engine(placed.gpus[0]) > 0
    with pytest.raises(ValueError, match="it takes no steps"):
        here(find("llama-3.2-11b-vision"), ["nvfp4"])
