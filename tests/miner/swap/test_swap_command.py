"""`models`, `swap` and `rollback` as the operator types them, with and without a running miner."""

import asyncio
import json

import pytest
from swap_kit import TIER, brought
from typer.testing import CliRunner

from miner.cli import app
from miner.control import SOCKET_NAME
from miner.control_server import ControlServer
from miner.ledger import LEDGER_NAME, events
from miner.registry import MODELS, Registry
from miner.swap.report import Report
from miner.swap.view import overview


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "data"


@pytest.fixture
def registry(data):
    return Registry(data / MODELS)


def invoke(data, *args):
    return CliRunner().invoke(app, [*args, "--data.path", str(data)])


class Miner:
    """Answers as a running one does; a swap takes two looks."""

    def __init__(self, registry, outcome="promoted", why=""):
        self.registry, self.asked, self.looks = registry, [], 2
        self.report = Report(TIER, "abc", outcome, "gate", why, False, "operator", 1.5)

    async def models(self):
        return {**overview(self.registry, [TIER]), "under_way": None, "last": None}

    async def swap(self, tier, version, force):
        if version == "nope":
            raise ValueError("lamp has no version 'nope'; there is abc")
        self.asked.append(("swap", tier, version, force))

    async def rollback(self, tier):
        self.asked.append(("rollback", tier))

    async def swap_status(self):
        self.looks -= 1
        now = {"tier": TIER, "version": "abc", "step": f"step{self.looks}", "seconds": 1.0, "forced": False}
        last = self.report.to_json() | {"sentence": self.report.sentence}
        return {"under_way": now, "last": None} if self.looks >= 0 else {"under_way": None, "last": last}


async def with_miner(data, miner, *args):
    names = ("models", "swap", "rollback", "swap_status")
    server = ControlServer(data / SOCKET_NAME, {name: getattr(miner, name) for name in names})
    await server.start()
    try:
        return await asyncio.to_thread(invoke, data, *args)
    finally:
        await server.stop()


async def test_a_swap_tells_its_steps_and_its_end(data, registry):
    miner = Miner(registry)
    ran = await with_miner(data, miner, "swap", TIER, "abc", "--force")
    assert ran.exit_code == 0, ran.output
    assert miner.asked == [("swap", TIER, "abc", True)]
    assert "lamp to abc: step1" in ran.stderr and "lamp abc serves (promoted)" in ran.stdout


async def test_a_swap_that_did_not_end_well_has_exit_status_1_and_the_reason(data, registry):
    ran = await with_miner(data, Miner(registry, "quarantined", "it said NaN"), "swap", TIER, "abc", "--json")
    assert ran.exit_code == 1
    assert json.loads(ran.stdout)["why"] == "it said NaN"


async def test_a_version_that_is_not_there_is_refused_with_those_there_are(data, registry):
    ran = await with_miner(data, Miner(registry), "swap", TIER, "nope")
    assert ran.exit_code == 1 and "there is abc" in str(ran.exception)


async def test_the_running_miner_rolls_back(data, registry):
    miner = Miner(registry, "rolled_back")
    assert (await with_miner(data, miner, "rollback", TIER)).exit_code == 0
    assert miner.asked == [("rollback", TIER)]


async def test_models_of_a_running_miner(data, registry):
    ran = await with_miner(data, Miner(registry), "models")
    assert ran.exit_code == 0 and "lamp: what the settings name serves" in ran.output


def test_models_without_a_miner(data, registry, tmp_path):
    version = registry.add(TIER, brought(tmp_path / "in"), {"metrics": {"mcc": 0.7}})
    registry.quarantine(TIER, version, "it said NaN")
    ran = invoke(data, "models")
    assert ran.exit_code == 0 and version in ran.output and "it said NaN" in ran.output
    told = json.loads(invoke(data, "models", "--json").output)
    assert told["tiers"][0]["versions"][0]["metrics"] == {"mcc": 0.7}


def test_a_rollback_without_a_miner_is_for_the_next_start_and_on_record(data, registry, tmp_path):
    one, two = (registry.add(TIER, brought(tmp_path / str(n), ms=n)) for n in (1, 2))
    registry.promote(TIER, one)
    registry.promote(TIER, two)
    ran = invoke(data, "rollback", TIER)
    assert ran.exit_code == 0 and f"{one} serves from the next start on" in ran.output
    again = Registry(data / MODELS)
    assert again.pointers(TIER).champion == one
    assert again.version(TIER, two).quarantined == "rolled back by the operator"
    assert events(data / LEDGER_NAME, kind="swap")[0]["data"]["outcome"] == "rolled_back"


def test_a_rollback_to_nothing_is_refused(data, registry):
    ran = invoke(data, "rollback", TIER)
    assert ran.exit_code == 1 and "nothing to go back to" in str(ran.exception)


def test_a_swap_needs_a_running_miner(data):
    ran = invoke(data, "swap", TIER, "abc")
    assert ran.exit_code == 1 and "no miner listens" in str(ran.exception)
