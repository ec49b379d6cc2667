"""A certificate covers versions: after a promotion nobody leaves early until the point is certified anew."""

from dataclasses import replace

import pytest
from swap_kit import TIER, ask, lost, staged, traffic
from swap_tiers import Lamp

from models.certify import Certificate, Member, OperatingPoint
from models.certify.certificate import Exit, Side
from models.description import Description

SIDE = Side(400, 900, 0.002, 0.01, 0.7, 0.95, 299, 420)


def certified(folder):
    """Two members, of which the first alone may answer what it is sure of."""
    members = (Member("torch_light", Lamp().version), Member(TIER, Lamp().version))
    certificate = Certificate(
        point=OperatingPoint("two", members, "sum"),
        exits=(Exit("torch_light", -1.0, 1.0),),
        data="sha:d",
        eps=(0.01, 0.02),
        delta=0.05,
        sides=(SIDE, SIDE),
        saved=0.6,
        created="2026-11-23T12:00:00+00:00",
    )
    certificate.save(folder / "certificate.json")
    tiers = ({"kind": "torch_light"}, {"kind": TIER})
    return Description("two", tiers, certificate=str(folder / "certificate.json"), audit=0.0)


async def path_of(stage, brightness):
    verdict = await stage.engine.submit(ask(brightness))
    return verdict.path, verdict.certified


async def test_a_promotion_ends_early_exits_and_the_way_back_brings_them_back(tmp_path):
    async with staged(tmp_path, base=certified(tmp_path), shadow=0) as stage:
        assert stage.engine.health().never == ""
        assert await path_of(stage, 240) == (("torch_light",), True)
        version = stage.bring(ms=0.01)
        async with traffic(stage):
            report = await stage.swapper.swap(TIER, version, force=True)
        assert "the certificate is void" in report.figures["nobody_early"]
        assert "the certificate is void" in stage.engine.health().never
        assert await path_of(stage, 240) == (("torch_light", TIER), False)
        await stage.swapper.rollback(TIER)
        assert stage.engine.health().never == ""
        assert await path_of(stage, 240) == (("torch_light",), True)


async def test_a_certificate_for_what_serves_now_is_adopted_without_losing_anybody(tmp_path):
    base = certified(tmp_path)
    async with staged(tmp_path, base=replace(base, certificate=None), shadow=0) as stage:
        assert stage.engine.health().never != ""
        async with traffic(stage) as seen:
            await stage.swapper.adopt(tmp_path / "certificate.json")
        assert lost(seen) == []
        assert stage.engine.health().never == ""
        assert stage.engine.health().early_by == str(tmp_path / "certificate.json")
        assert await path_of(stage, 240) == (("torch_light",), True)
        assert stage.swapper.under_way is None


async def test_one_that_is_void_is_not_adopted(tmp_path):
    base = certified(tmp_path)
    async with staged(tmp_path, base=replace(base, name="other", certificate=None), shadow=0) as stage:
        with pytest.raises(ValueError, match=r"of no use: .*certificate is void"):
            await stage.swapper.adopt(tmp_path / "certificate.json")
        assert stage.engine.described.recertified is None
        assert await path_of(stage, 240) == (("torch_light", TIER), False)
