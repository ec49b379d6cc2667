"""Weights of a VLM server change behind `swap` like any tier's: tried, gated, put back, rolled back."""

import json
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from swap_kit import LABELLED, Stage, ask, lost, traffic, until, weights

sys.path.append(str(Path(__file__).parents[2] / "vlm"))
from fake_server import FakeServer

from miner.registry import Registry
from miner.servers import Servers, ServerSpec
from miner.servers.holder import Holder
from miner.servers.supervisor import Host, Supervisor
from miner.servers.weights import WeightControl
from miner.swap import asking
from miner.swap.asking import right
from miner.swap.cascades import in_service, served
from miner.swap.trial import Ruling
from models.description import Description

QWEN = "qwen"
FLAGS = {"enable-lora": True}


class Seeing(FakeServer):
    """Answers by brightness, as its checkpoint's `sees.json` says: 1 rightly, -1 the other way round."""

    def top(self, picture):
        told = Path(self.model) / "sees.json"
        sign = json.loads(told.read_text()) if told.is_file() else -1
        bright = any(picture == item.views[0] and item.roadwork for item in LABELLED)
        yes = bright if sign > 0 else not bright
        return [("Yes", -0.01), ("No", -6.0)] if yes else [("No", -0.01), ("Yes", -6.0)]


def checkpoint(folder, sees, numbers=4, adapter=False):
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(weights(numbers))
    (folder / "config.json").write_text('{"hidden_size": 2}')
    (folder / "sees.json").write_text(str(sees))
    if adapter:
        (folder / "adapter_config.json").write_text("{}")
    return folder


async def more_right(trial):
    """The gate's place: what it makes of hundreds of pictures is tested with it."""
    before, after = (right(trial.items, said) for said in (trial.champion, trial.challenger))
    return Ruling(after > before, () if after > before else (f"{after} right, not {before}",))


@pytest.fixture(autouse=True)
def without_rests(monkeypatch):
    monkeypatch.setattr(asking, "REST", 0.0)


class House:
    """A server with bad weights of its own behind a lamp that is never sure."""

    def __init__(self, folder, fake):
        self.folder, self.fake = folder, fake
        self.home = checkpoint(folder / "home", -1)
        spec = ServerSpec(
            name=QWEN, model=fake.model, model_path=str(self.home), port=fake.server_address[1], flags=FLAGS
        )
        self.supervisor = Supervisor(spec, Host("python", folder))
        self.control = WeightControl(spec, self.home)
        self.holder = Holder(self.supervisor, self.control)
        member = {"kind": "vlm", "name": QWEN, "url": fake.url, "model": fake.model, "check_s": 0.0}
        self.base = Description("two", ({"kind": "lamp", "ms": 1.0}, member))

    def stage(self, **options):
        known = tuple(LABELLED[::60])
        patient = {"load_s": 120.0, "within_s": 10.0, **options}
        stage = Stage(self.folder, base=self.base, known=known, shadow=0, **patient)
        stage.swapper._holders = {QWEN: self.holder}
        stage.swapper._gate = more_right
        return stage

    def bring(self, stage, sees, name, **more):
        return stage.registry.add(QWEN, checkpoint(self.folder / name, sees, **more))


@asynccontextmanager
async def served_by(house, **options):
    stage = house.stage(**options)
    await stage.engine.start()
    try:
        await until(lambda: stage.engine.health().ready, within=120.0)
        yield stage
    finally:
        await stage.swapper.close()
        await stage.engine.stop()
        await house.control.close()


@pytest.fixture
def house(tmp_path):
    fake = Seeing().start()
    yield House(tmp_path, fake)
    fake.stop()


async def says(stage, brightness):
    verdict = await stage.engine.submit(ask(brightness))
    return round(verdict.evidence.get(QWEN, 0.0))


async def test_better_weights_pass_the_gate_while_the_others_serve_and_can_be_rolled_back(house):
    async with served_by(house, labelled=LABELLED[::12]) as stage:
        assert await says(stage, 240) == -6
        version = house.bring(stage, 1, "better")
        async with traffic(stage, gap_s=0.05) as seen:
            report = await stage.swapper.swap(QWEN, version)
        assert (report.outcome, report.why) == ("promoted", "")
        assert lost(seen) == [] and any(QWEN not in one.path for one in seen), "the lamp served meanwhile"
        folder = str(stage.registry.path(QWEN, version))
        assert house.fake.model == folder and await says(stage, 240) == 6
        assert house.supervisor.spec.model == house.supervisor.spec.model_path == folder
        back = await stage.swapper.rollback(QWEN)
        assert back.outcome == "rolled_back" and house.fake.model == str(house.home)
        assert await says(stage, 240) == -6
        assert stage.registry.pointers(QWEN).champion is None


async def test_worse_weights_are_put_back_and_never_tried_again(house):
    async with served_by(house, labelled=LABELLED[::12]) as stage:
        better, worse = house.bring(stage, 1, "better"), house.bring(stage, -1, "worse", numbers=4)
        await stage.swapper.swap(QWEN, better, force=True)
        report = await stage.swapper.swap(QWEN, worse)
        assert report.outcome == "quarantined" and report.step in ("golden", "gate"), report.why
        assert house.fake.model == str(stage.registry.path(QWEN, better)) and await says(stage, 240) == 6
        assert stage.registry.pointers(QWEN).champion == better


async def test_weights_that_would_end_the_server_are_never_sent(house):
    async with served_by(house) as stage:
        report = await stage.swapper.swap(QWEN, house.bring(stage, 1, "other", numbers=8), force=True)
        assert (report.outcome, report.step) == ("quarantined", "load") and "is served" in report.why
        assert house.fake.calls == [] and await says(stage, 240) == -6


async def test_an_adapter_is_held_beside_the_weights_and_asked_for_by_name(house):
    async with served_by(house) as stage:
        version = house.bring(stage, 1, "adapter", adapter=True)
        report = await stage.swapper.swap(QWEN, version, force=True)
        assert report.outcome == "promoted", report.why
        assert house.fake.adapters == [version] and house.fake.calls == []
        assert stage.engine.described.tiers[1]["model"] == f"vlm-b:{version}"
        assert house.supervisor.spec.flags["lora-paths"] == [
            f"{version}={stage.registry.path(QWEN, version)}"
        ]
        await stage.swapper.rollback(QWEN)
        assert house.fake.adapters == [] and stage.engine.described.tiers[1]["model"] == "vlm-b"


def test_a_start_has_the_server_begin_with_its_champion(house):
    registry = Registry(house.folder / "models")
    version = registry.add(QWEN, checkpoint(house.folder / "new", 1))
    registry.promote(QWEN, version)
    found = in_service(house.base, registry, {QWEN: house.holder})
    folder = str(registry.path(QWEN, version))
    assert found.tiers[1]["model"] == folder and found.tiers[1]["url"] == house.fake.url
    assert house.supervisor.spec.model_path == house.supervisor.spec.model == folder
    assert served(house.base, [QWEN, "lamp", "other"]) == (QWEN,)


async def test_a_server_gives_its_memory_away_and_takes_it_back(house):
    spec = replace(house.supervisor.spec, flags={"enable-memory-saver": 1, "enable-weights-cpu-backup": 1})
    servers = Servers([spec], Host("python", house.folder))
    assert "released" in await servers.commands["server_release"](name=QWEN)
    assert house.fake.paused and "holds" in await servers.commands["server_resume"](name=QWEN)
    assert not house.fake.paused and set(servers.holders) == {QWEN}
    with pytest.raises(ValueError, match="there is qwen"):
        await servers.commands["server_release"](name="other")
    await servers.stop()
