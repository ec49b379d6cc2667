"""A champion that cannot be loaded any more does not keep the miner down."""

import asyncio

from swap_kit import BASE, TIER, Stage, until

from miner.swap.rescue import rescue
from models.description import Description

TWO = Description("two", ({"kind": "torch_light"}, {"kind": "lamp"}))


async def started(stage, base):
    """What the miner does at its start."""
    notes = []
    await stage.engine.start()
    try:
        work = rescue(stage.engine, stage.registry, base, lambda kind, data: notes.append(data))
        await asyncio.wait_for(work, 60)
        await until(lambda: stage.engine.health().ready)
        return notes, stage.engine.health().versions, await stage.says(200)
    finally:
        await stage.engine.stop()


async def test_the_one_before_it_serves_and_before_that_what_the_settings_name(tmp_path):
    first = Stage(tmp_path)
    bad, worse = first.bring(broken="no such layer"), first.bring(broken="no such layer either")
    first.registry.promote(TIER, bad)
    first.registry.promote(TIER, worse)
    notes, _, log_odds = await started(Stage(tmp_path), BASE)
    registry = first.registry.__class__(first.registry.folder)
    assert log_odds > 0
    assert [note["version"] for note in notes] == [worse, bad]
    assert "no such layer either" in registry.version(TIER, worse).quarantined
    assert "no such layer" in registry.version(TIER, bad).quarantined
    assert registry.pointers(TIER).champion is None


async def test_a_later_member_that_was_left_out_comes_back_as_it_was(tmp_path):
    first = Stage(tmp_path, base=TWO)
    first.registry.promote(TIER, first.bring(broken="no such layer"))
    notes, versions, _ = await started(Stage(tmp_path, base=TWO), TWO)
    assert set(versions) == {"torch_light", TIER}
    assert "no such layer" in notes[0]["why"]


async def test_want_of_memory_is_not_the_champions_fault(tmp_path):
    first = Stage(tmp_path, base=TWO)
    good = first.bring(broken="CUDA out of memory")
    first.registry.promote(TIER, good)
    stage = Stage(tmp_path, base=TWO)
    notes, versions, _ = await started(stage, TWO)
    assert notes == [] and set(versions) == {"torch_light"}
    assert stage.registry.pointers(TIER).champion == good
