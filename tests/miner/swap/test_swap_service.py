"""Hot swap as the operator and the jobs meet it."""

import asyncio

import pytest
from swap_kit import TIER, brought, staged, traffic, until

from miner.settings import RegistrySection
from miner.swap.service import SwapService
from miner.swap.sources import FolderSource
from miner.swap.view import models_view


def service(stage, tmp_path=None, **section):
    found = RegistrySection(**section)
    sources = [FolderSource(tmp_path, stage.registry, [TIER], settle=lambda: None)] if tmp_path else []
    return SwapService(stage.swapper, stage.registry, [TIER], sources, found)


async def ended(swaps):
    while (status := await swaps.swap_status())["under_way"] is not None:
        await asyncio.sleep(0.02)
    return status["last"]


async def test_a_swap_by_command_says_how_it_goes_and_what_became_of_it(tmp_path):
    async with staged(tmp_path, shadow=0) as stage:
        swaps = service(stage)
        version = stage.bring(ms=0.01)
        begun = await swaps.commands["swap"](tier=TIER, version=version[:5], force=True)
        assert begun == {"tier": TIER, "version": version}
        assert (await swaps.swap_status())["under_way"]["step"] == "verify"
        with pytest.raises(ValueError, match="a swap is under way"):
            await swaps.swap(TIER, version)
        assert (await ended(swaps))["sentence"] == f"{TIER} {version} serves (promoted, forced)"
        await swaps.rollback(TIER)
        assert (await ended(swaps))["outcome"] == "rolled_back"
        shown = await swaps.models()
        [tier] = shown["tiers"]
        assert tier["champion"] is None and tier["versions"][0]["role"] == "previous"
        assert tier["versions"][0]["quarantined"] == "rolled back by the operator"
        await swaps.stop()


async def test_what_cannot_be_is_said_at_once(tmp_path):
    async with staged(tmp_path) as stage:
        swaps = service(stage)
        with pytest.raises(ValueError, match="has no version 'x'; there is none at all"):
            await swaps.swap(TIER, "x")
        with pytest.raises(ValueError, match="nothing to go back to"):
            await swaps.rollback(TIER)
        with pytest.raises(ValueError, match="not the name of a tier"):
            await swaps.swap("../x", "y")


async def test_what_appears_in_the_folder_is_tried_and_kept_waiting_for_labels(tmp_path):
    async with staged(tmp_path, labelled=[], shadow=0) as stage:
        watched = tmp_path / "watched"
        swaps = service(stage, watched)
        brought(watched / TIER / "night", ms=0.01)
        said = await swaps.poll()
        version = stage.registry.versions(TIER)[0].name
        assert said == f"{TIER} {version} came in; {TIER} {version} is being tried"
        assert "no labelled picture" in (await ended(swaps))["why"]
        assert stage.registry.pointers(TIER).challenger == version
        assert await swaps.poll() == "nothing new", "not at once again"
        await swaps.stop()


async def test_without_auto_what_comes_in_only_lies_there(tmp_path):
    async with staged(tmp_path) as stage:
        swaps = service(stage, tmp_path / "watched", auto=False)
        brought(tmp_path / "watched" / TIER / "night")
        assert (await swaps.poll()).endswith("came in")
        assert stage.registry.pointers(TIER).challenger is None


async def test_a_model_that_was_offered_is_tried_at_the_next_poll(tmp_path):
    async with staged(tmp_path, shadow=0) as stage:
        swaps = service(stage)
        version = await swaps.offer(TIER, brought(tmp_path / "retrained", sign=-1), {"source": "retrain"})
        assert f"{version} is being tried" in await swaps.poll()
        assert (await ended(swaps))["outcome"] == "quarantined"
        assert await swaps.poll() == "nothing new", "never again"


async def test_a_stopping_miner_gives_up_the_swap_and_keeps_the_champion(tmp_path):
    async with staged(tmp_path, shadow_s=60.0) as stage:
        swaps = service(stage)
        pid = stage.engine.health().pid
        await swaps.swap(TIER, stage.bring(ms=0.01), force=True)
        await until(lambda: (stage.swapper.under_way or {}).get("step") == "shadow")
        await swaps.stop()
        assert stage.swapper.under_way is None
        assert stage.engine.health().pid == pid
        assert stage.registry.pointers(TIER).champion is None


async def test_old_versions_are_deleted_after_a_swap(tmp_path):
    async with staged(tmp_path, shadow=0) as stage:
        swaps = service(stage, keep=1)
        versions = [stage.bring(ms=n / 100) for n in range(1, 5)]
        async with traffic(stage):
            await swaps.swap(TIER, versions[0], force=True)
            await ended(swaps)
        left = {one.name for one in stage.registry.versions(TIER)}
        assert versions[0] in left and len(left) == 2


def test_reasons_are_shown_to_the_operator(tmp_path):
    from io import StringIO

    from rich.console import Console

    from miner.registry import Registry
    from miner.swap.view import overview

    registry = Registry(tmp_path / "models")
    version = registry.add(TIER, brought(tmp_path / "in"), {"metrics": {"mcc": 0.7}, "source": "folder a"})
    registry.quarantine(TIER, version, "it said [red]NaN")
    out = StringIO()
    Console(file=out, width=160).print(models_view(overview(registry, [TIER])))
    text = out.getvalue()
    assert version in text and "mcc 0.7" in text and "it said [red]NaN" in text
    assert "what the settings name serves" in text
