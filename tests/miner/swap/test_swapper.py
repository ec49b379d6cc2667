"""A candidate takes the champion's place when it holds, and never otherwise; the requests do not notice."""

import asyncio
import json

import pytest
from swap_kit import (
    BASE,
    TIER,
    Stage,
    item,
    lost,
    staged,
    traffic,
    until,
)

from miner.registry import Registry
from miner.swap.cascades import in_service
from models.description import Description

BETTER_BASE = Description("given", ({"kind": "lamp", "wrong": list(range(100, 160))},))
"""A champion that is wrong where it is neither dark nor bright."""


async def test_a_better_candidate_is_promoted_between_two_requests(tmp_path):
    async with staged(tmp_path, base=BETTER_BASE) as stage:
        version = stage.bring(wrong=[])
        before = stage.engine.health().pid
        async with traffic(stage) as seen:
            report = await stage.swapper.swap(TIER, version)
            await asyncio.sleep(0.1)
        assert report.outcome == "promoted", report.why
        assert lost(seen) == []
        assert stage.engine.health().pid != before
        assert await stage.says(140) > 0
        assert stage.registry.pointers(TIER).champion == version
        assert report.figures["shadowed"] == 3 and report.figures["e_value"] >= 20
        kind, data = stage.notes[-1]
        assert kind == "swap" and data["outcome"] == "promoted" and json.dumps(data)


async def test_counts_go_on_when_the_engine_is_exchanged(tmp_path):
    async with staged(tmp_path) as stage:
        async with traffic(stage) as seen:
            await until(lambda: len(seen) > 20)
            await stage.swapper.swap(TIER, stage.bring(ms=0.1), force=True)
        await until(lambda: not stage.engine.health().in_flight)
        health = stage.engine.health()
        assert health.answered >= len(seen) and health.failed == health.shed == 0


async def refused(stage, version, **options):
    """The report of a swap that must not take place, under traffic that must not notice."""
    pid = stage.engine.health().pid
    async with traffic(stage) as seen:
        report = await stage.swapper.swap(TIER, version, **options)
    assert lost(seen) == []
    assert stage.engine.health().pid == pid
    assert stage.registry.pointers(TIER).champion is None
    assert stage.notes[-1][1]["why"] == report.why
    return report


async def quarantined(stage, version, **options):
    report = await refused(stage, version, **options)
    assert report.outcome == "quarantined"
    assert stage.registry.version(TIER, version).quarantined == report.why
    assert stage.registry.pointers(TIER).challenger is None
    return report.why


@pytest.mark.parametrize(
    ("told", "step", "why"),
    [
        ({"wrong": list(range(60, 200))}, "gate", "not shown to be better"),
        ({"sign": -1}, "golden", "known pictures on their side"),
        ({"nan": True}, "load", "no finite evidence"),
        (
            {"nan_on": [60]},
            "golden",
            "no answer (it failed, or said no finite number) to the known picture grey-60",
        ),
        ({"ms": 2500.0}, "golden", "no answer (too slow) to the known picture"),
        ({"broken": "the weights are for another network"}, "load", "the weights are for another network"),
    ],
    ids=["worse", "upside down", "NaN", "NaN on some", "slower than the deadline", "does not load"],
)
async def test_a_bad_candidate_is_quarantined_with_the_reason(tmp_path, told, step, why):
    async with staged(tmp_path) as stage:
        report_why = await quarantined(stage, stage.bring(**told))
        assert why in report_why
        assert stage.notes[-1][1]["step"] == step
        with pytest.raises(ValueError, match="is quarantined"):
            await stage.swapper.swap(TIER, stage.registry.versions(TIER)[0].name)


async def test_a_candidate_that_fails_on_live_challenges_only_is_quarantined(tmp_path):
    async with staged(tmp_path, shadow=40) as stage:
        why = await quarantined(stage, stage.bring(nan_on=list(range(61, 120))))
        assert "to a live challenge" in why


async def test_a_damaged_weights_file_is_quarantined(tmp_path):
    async with staged(tmp_path) as stage:
        version = stage.bring()
        file = stage.registry.path(TIER, version) / "model.safetensors"
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        assert "model.safetensors is damaged" in await quarantined(stage, version)


async def test_one_that_learned_poisoned_labels_is_not_promoted_by_poisoned_labels(tmp_path):
    """Every fifth label is flipped. The candidate has learned a third of the flips by heart."""
    poisoned = [item(v, (v >= 128) != (v % 5 == 0)) for v in range(8, 248)]
    memorised = [v for v in range(8, 248) if v % 15 == 0 and v not in (60, 240)]
    async with staged(tmp_path, labelled=[i for i in poisoned if int(i.name[5:]) % 3]) as stage:
        report = await refused(stage, stage.bring(wrong=[*memorised, *range(70, 75), *range(180, 185)]))
        assert not report.fine and "not shown to be better" in report.why


async def test_equal_candidates_wait_for_labels_and_not_for_ever(tmp_path):
    async with staged(tmp_path, tries=2) as stage:
        version = stage.bring(ms=0.01)
        report = await refused(stage, version)
        assert report.outcome == "postponed" and "not shown to be better" in report.why
        assert stage.registry.pointers(TIER).challenger == version
        await refused(stage, version)
        assert "tried 2 times" in stage.registry.version(TIER, version).quarantined


async def test_without_labels_only_force_promotes_and_it_is_recorded(tmp_path):
    async with staged(tmp_path, labelled=[], tries=1) as stage:
        version = stage.bring(ms=0.01)
        report = await refused(stage, version)
        assert report.outcome == "postponed" and "no labelled picture" in report.why
        assert "load_s" not in report.figures, "it is not even loaded"
        async with traffic(stage):
            report = await stage.swapper.swap(TIER, version, force=True)
        assert report.fine and stage.notes[-1][1]["forced"] is True


async def test_too_little_traffic_postpones_and_force_makes_do(tmp_path):
    async with staged(tmp_path, shadow_s=0.2) as stage:
        report = await stage.swapper.swap(TIER, stage.bring(ms=0.01))
        assert report.outcome == "postponed" and "only 0 of 3 live challenges" in report.why
        assert (await stage.swapper.swap(TIER, stage.bring(ms=0.02), force=True)).fine


async def test_back_to_the_settings_model_and_what_was_wrong_stays_away(tmp_path):
    async with staged(tmp_path, shadow=0) as stage:
        version = stage.bring(ms=0.01)
        await stage.swapper.swap(TIER, version, force=True)
        report = await stage.swapper.rollback(TIER)
        assert report.outcome == "rolled_back" and report.version is None
        assert stage.registry.pointers(TIER).champion is None
        assert stage.registry.version(TIER, version).quarantined == "rolled back by the operator"
        assert stage.engine.described == BASE
    assert in_service(BASE, Registry(stage.registry.folder)) == BASE, "also at the next start"


async def test_while_the_old_engine_is_warm_the_way_back_loads_nothing(tmp_path):
    async with staged(tmp_path, shadow=0, warm_s=60.0) as stage:
        first = stage.engine.health().pid
        await stage.swapper.swap(TIER, stage.bring(load_ms=700), force=True)
        assert stage.engine.health().pid != first
        report = await stage.swapper.rollback(TIER)
        assert stage.engine.health().pid == first
        assert "load_s" not in report.figures


async def test_nothing_to_go_back_to_is_said(tmp_path):
    async with staged(tmp_path) as stage:
        with pytest.raises(ValueError, match="nothing to go back to"):
            await stage.swapper.rollback(TIER)


async def test_one_swap_at_a_time(tmp_path):
    async with staged(tmp_path) as stage:
        first = asyncio.create_task(stage.swapper.swap(TIER, stage.bring(), force=True))
        await until(lambda: stage.swapper.under_way)
        with pytest.raises(ValueError, match="a swap of lamp is under way"):
            await stage.swapper.swap(TIER, stage.bring(ms=0.01))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert stage.swapper.under_way is None


async def test_without_room_for_two_the_swap_is_postponed(tmp_path):
    async with staged(tmp_path, free=lambda: 2**20) as stage:
        report = await refused(stage, stage.bring())
        assert report.outcome == "postponed" and "no room for two engines" in report.why


TWO = Description("two", ({"kind": "torch_light"}, {"kind": "lamp"}))


async def test_without_room_the_other_members_serve_while_one_is_unloaded(tmp_path):
    served = []
    async with staged(tmp_path, base=TWO, free=lambda: 2**20, no_room="unload") as stage:
        async with traffic(stage) as seen:
            report = await stage.swapper.swap(TIER, stage.bring(ms=0.01), force=True)
            served = [each.path for each in seen]
        assert report.fine, report.why
        assert lost(seen) == []
        assert ("torch_light",) in served
        assert set(stage.engine.health().versions) == {"lamp", "torch_light"}


async def test_when_the_newcomer_fails_the_unloaded_champion_comes_back(tmp_path):
    async with staged(tmp_path, base=TWO, free=lambda: 2**20, no_room="unload") as stage:
        async with traffic(stage) as seen:
            report = await stage.swapper.swap(TIER, stage.bring(broken="no"), force=True)
        assert report.outcome == "quarantined" and lost(seen) == []
        assert set(stage.engine.health().versions) == {"lamp", "torch_light"}
        assert stage.engine.described == TWO


async def test_a_later_member_that_cannot_be_loaded_is_no_reason_to_serve_without_it(tmp_path):
    async with staged(tmp_path, base=TWO) as stage:
        why = await quarantined(stage, stage.bring(broken="a hole in it"))
        assert "its member lamp cannot be loaded" in why and "a hole in it" in why


async def test_a_disk_that_refuses_the_pointer_leaves_the_champion(tmp_path, monkeypatch):
    async with staged(tmp_path, shadow=0) as stage:
        version = stage.bring(ms=0.01)
        real = Registry.promote

        def full(self, *given):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Registry, "promote", full)
        report = await refused(stage, version, force=True)
        assert report.outcome == "postponed" and "No space left" in report.why
        monkeypatch.setattr(Registry, "promote", real)
        assert (await stage.swapper.swap(TIER, version, force=True)).fine


async def test_a_damaged_champion_does_not_keep_the_miner_down(tmp_path):
    stage = Stage(tmp_path)
    good, bad = stage.bring(ms=0.01), stage.bring(ms=0.02)
    stage.registry.promote(TIER, good)
    stage.registry.promote(TIER, bad)
    (stage.registry.path(TIER, bad) / "lamp.json").write_text("{}")
    registry = Registry(stage.registry.folder)
    assert in_service(BASE, registry).tiers[0]["path"] == str(registry.path(TIER, good))
    assert registry.pointers(TIER).champion == good
    assert "lamp.json is damaged" in registry.version(TIER, bad).quarantined


def test_when_both_champion_and_previous_are_damaged_the_settings_model_serves(tmp_path):
    stage = Stage(tmp_path)
    for ms in (1, 2):
        version = stage.bring(ms=ms)
        stage.registry.promote(TIER, version)
        (stage.registry.path(TIER, version) / "lamp.json").write_text("{}")
    assert in_service(BASE, stage.registry) == BASE
    assert len(stage.registry.quarantine_of(TIER)) == 2


async def test_an_unknown_member_is_refused_with_those_there_are(tmp_path):
    async with staged(tmp_path) as stage:
        with pytest.raises(ValueError, match="no member 'vlm' that runs here; it has lamp"):
            await stage.swapper.swap("vlm", "x")
