"""Each check can fail, says why, and says what to do."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from bittensor.keyfiles import Keypair

from miner.chain.client import Chain
from miner.chain.local import LocalChain
from miner.chain.snapshot import Neuron, Snapshot
from miner.doctor import asked, host, keys, models, network, subnet
from miner.doctor.examine import examine
from miner.doctor.honoured import honoured, notices
from miner.ledger import LEDGER_NAME, Ledger
from miner.records import Exchange
from miner.settings import Axon, CascadeSection, Model, Servers, Settings, Wallet, load
from models.residency import GPU

GB = 10**9
H100 = GPU("NVIDIA H100", 85 * GB, 0, 1, 1, 0, 90)
A100 = replace(H100, name="NVIDIA A100", capability=80)
OWNER, VALIDATOR, US = (Keypair.create_from_uri(f"//{name}").ss58_address for name in ("owner", "vali", "us"))


def good(name, folder):
    """What the check says of a sound host."""
    return {
        "python": lambda: host.python((3, 12)),
        "libraries": lambda: host.libraries({"torch": "2.13.0", "transformers": "5", "bittensor": "11.3.2"}),
        "gpu": lambda: host.device("cuda:0", {0: H100}, "2.13.0"),
        "disk": lambda: host.disk(folder / "not" / "yet", free=50 * GB),
        "memory": lambda: host.memory(16 * GB),
        "files": lambda: host.files(2048, hard=65_536),
        "writable": lambda: host.writable(folder / "not" / "yet"),
        "ipv6": lambda: network.ipv6(Axon(), has=True),
        "coldkey": lambda: keys.coldkey(Wallet(path=folder)),
        "cascade": lambda: models.cascade(CascadeSection(), Model()),
        "certificate": lambda: models.certificate(CascadeSection(), Model()),
    }[name]()


CHECKS = ("python", "libraries", "gpu", "disk", "memory", "files", "writable", "ipv6", "coldkey", "cascade")


@pytest.mark.parametrize("name", [*CHECKS, "certificate"])
def test_a_sound_host_passes(name, tmp_path):
    found = good(name, tmp_path)
    assert found.level == "ok" and found.reason.endswith(".") and not found.remedy


@pytest.mark.parametrize(
    ("finding", "level", "words"),
    [
        (host.python((3, 9)), "fail", "3.9 is too old"),
        (host.libraries({"torch": None, "transformers": "5", "bittensor": "11.3.0"}), "fail", "torch"),
        (host.libraries({"torch": "2", "transformers": "5", "bittensor": "9.12.2"}), "fail", "11.3"),
        (host.device("cuda", {}, "2.13.0"), "fail", "lists no GPU"),
        (host.device("cuda:3", {0: H100}, "2.13.0"), "fail", "cuda:3"),
        (host.device("auto", {0: H100}, "2.13.0+cpu"), "fail", "built for CPUs"),
        (host.memory(GB), "warn", "1.0 GB"),
        (host.files(2048, hard=256), "warn", "256"),
        (network.ipv6(Axon(), has=False), "warn", "no IPv6"),
        (models.cascade(CascadeSection(path="/nowhere"), Model()), "fail", "/nowhere"),
        (models.cascade(CascadeSection(), Model(path="/nowhere/model")), "fail", "/nowhere/model"),
        (
            models.cascade(CascadeSection(path="single", compress=["divprune 0.5"]), Model()),
            *("fail", "cascade.compress"),
        ),
        (models.certificate(CascadeSection(path="/nowhere"), Model()), "fail", "no cascade"),
    ],
)
def test_a_broken_host_is_told_what_is_wrong_and_what_to_do(finding, level, words):
    assert finding.level == level and words in finding.reason and finding.remedy


def test_room_on_the_disk_has_two_limits(tmp_path):
    assert [host.disk(tmp_path, free=free).level for free in (10**8, GB, 50 * GB)] == ["fail", "warn", "ok"]


def test_attention_is_what_the_first_gpu_honours_with_the_reason_and_the_nearest():
    assert "No NVIDIA GPU" in host.attention({}).reason
    said = host.attention({1: H100, 0: A100}).reason
    assert "this GPU's is 8.0" in said and "version=2" in said
    assert "flash_attn_interface" in host.attention({0: H100}).reason


def test_a_gpus_abilities_are_its_own():
    assert "FP8, FlashAttention-3; not FP4" in host.abilities(H100)
    assert "not FP8, FlashAttention-3, FP4" in host.abilities(A100)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else(tmp_path):
    tmp_path.chmod(0o500)
    assert host.writable(tmp_path / "data").level == "fail"


def test_keys(tmp_path):
    wallet = Wallet(name="w", hotkey="h", path=tmp_path)
    found, address = keys.hotkey(wallet)
    assert found.level == "fail" and address is None and "btcli" in found.reason
    (tmp_path / "w" / "coldkey").parent.mkdir(parents=True)
    (tmp_path / "w" / "coldkey").write_text("{}")
    assert keys.coldkey(wallet).level == "warn"


def test_a_taken_port(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        found = network.port(Axon(ip="127.0.0.1", port=number), tmp_path)
    assert found.level == "fail" and str(number) in found.reason
    assert network.port(Axon(ip="127.0.0.1", port=number), tmp_path).level == "ok"


async def test_an_address_that_is_none(tmp_path):
    async def dead(ip, port):
        return False

    look = network.reachable
    assert (await look(Axon(), tmp_path, local=False)).level == "warn"
    assert (await look(Axon(external_ip="127.0.0.1"), tmp_path, local=False)).level == "fail"
    assert (await look(Axon(external_ip="203.0.113.7"), tmp_path, local=False, probe=dead)).level == "skip"


async def test_an_address_that_nobody_answers_at(tmp_path, monkeypatch):
    async def dead(ip, port):
        return False

    monkeypatch.setattr(network, "running", lambda _: True)
    found = await network.reachable(Axon(external_ip="203.0.113.7"), tmp_path, local=False, probe=dead)
    assert found.level == "fail" and "203.0.113.7:8091" in found.reason


async def test_servers_that_cannot_start(tmp_path):
    assert [each.level for each in await models.servers(Servers())] == ["ok"]
    (tmp_path / "servers.json").write_text("[]]")
    assert (await models.servers(Servers(file=tmp_path / "servers.json")))[0].level == "fail"


# The chain


@pytest.mark.parametrize(
    ("ahead", "level"),
    [(-3.9, "ok"), (-4.1, "fail"), (0, "ok"), (12, "ok"), (15.9, "ok"), (16.1, "fail"), (3600, "fail")],
)
def test_the_clock_is_held_against_the_newest_block(ahead, level):
    assert subnet.clock(ahead, block_s=12.0).level == level


class Wall:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


async def looked(tmp_path, *, burning=False, register=True, offset_s=0.0, hotkey=US, rivals=None):
    """The findings by name on a local chain of 1 s blocks, some epochs on."""
    wall = Wall()
    path = tmp_path / "chain.sqlite"
    rules = {"block_s": 1.0, "tempo": 10, "weights_rate_limit": 0, "immunity_period": 5}
    chain = LocalChain.create(path, owner=(OWNER, "5owner-cold"), price=0.02, clock=wall, **rules)
    chain.set_rivals(rivals or {})
    chain.register(VALIDATOR, alpha=6000, permit=True)
    if register:
        chain.register(US)
    client = Chain(72, substrate=chain, wall=wall)
    paid = 0 if burning or not register else 2
    await client.set_weights({paid: 1.0}, Keypair.create_from_uri("//vali"))
    wall.now += 12
    try:
        found = await subnet.look(client, hotkey, wall=lambda: wall.now + offset_s)
    finally:
        await client.close()
    return {each.check: each for each in found}


async def test_a_subnet_that_pays(tmp_path):
    found = await looked(tmp_path)
    assert {name: each.level for name, each in found.items()} == dict.fromkeys(
        ("chain", "clock", "subnet", "validators", "price", "registration", "collateral"), "ok"
    )
    assert "TAO a day" in found["subnet"].reason and "UID 2" in found["registration"].reason


@pytest.mark.parametrize(
    ("dearer", "cheaper", "level", "words"),
    [
        (127, 0, "fail", "Do not register now: Subnet 72 is number 128 of 128 by price"),
        (123, 4, "warn", "Think twice: Subnet 72 is number 124 of 128 by price"),
        (100, 27, "ok", "Subnet 72 is number 101 of 128 by price (0.02 TAO per alpha)."),
        (50, 0, "ok", "number 51 of 51"),
    ],
)
async def test_the_cheapest_subnets_of_a_full_network_are_warned_of(tmp_path, dearer, cheaper, level, words):
    rivals = {100 + n: 0.03 for n in range(dearer)} | {300 + n: 0.01 for n in range(cheaper)}
    found = (await looked(tmp_path, rivals=rivals))["price"]
    assert (found.level == level and found.reason.startswith(words)) or words in found.reason
    assert bool(found.remedy) == (level != "ok")


async def test_validators_that_do_no_work_are_counted(tmp_path):
    found = (await looked(tmp_path))["validators"]
    assert found.reason.startswith("1 of 1 validators, with 100% of their stake")
    rows = [
        Neuron(uid, f"v{uid}", f"v{uid}", stake, True, None, 0.0, 0.0, 0.0, at, 0, True)
        for uid, (stake, at) in enumerate(((900.0, 0), (100.0, 9_990)))
    ]
    said = subnet.validators(Snapshot(72, 10_000, 360, 0.0, 0.02, "owner", 100, 256, tuple(rows)))
    assert said.level == "warn" and "1 of 2 validators, with 10% of their stake" in said.reason
    said = subnet.validators(Snapshot(72, 10_000, 360, 0.0, 0.02, "owner", 100, 256, tuple(rows[:1])))
    assert said.level == "fail" and said.remedy


def test_what_the_ledger_says_of_being_asked(tmp_path):
    assert asked.challenges(tmp_path).level == "skip"
    ledger = Ledger(tmp_path / LEDGER_NAME, hotkey="ours")
    now = time.time()
    ledger.write([Exchange("1", int(now * 1e9), "ours", VALIDATOR, "192.0.2.1", "10.5.0", 200, "answered")])
    ledger.close()
    assert asked.challenges(tmp_path, lambda: now + 600).level == "ok"
    found = asked.challenges(tmp_path, lambda: now + 86_400)
    assert found.level == "warn" and "1,440 min" in found.reason and found.remedy
    (tmp_path / LEDGER_NAME).write_bytes(b"damaged" * 1000)
    assert asked.challenges(tmp_path).level == "warn"


def test_settings_that_no_start_can_honour_are_named(tmp_path, monkeypatch):
    assert honoured(Settings()).level == "ok"
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cv2" else there(name))
    found = honoured(Settings(capture={"blur": True}, engine={"mode": "ray://127.0.0.1:9"}))
    assert found.level == "fail" and found.remedy
    assert "capture.blur needs opencv" in found.reason and "127.0.0.1" in found.reason
    odd = load(["--no-blacklist.force_validator_permit"], env={})
    assert notices(odd).level == "warn" and "force_validator_permit is off" in notices(odd).reason


def test_the_driver_is_told():
    assert host.device("cuda:0", {0: H100}, "2.13.0", "580.65").reason.endswith("Driver 580.65.")


async def test_a_burning_subnet_is_named_before_money_is_spent(tmp_path):
    found = (await looked(tmp_path, burning=True))["subnet"]
    assert found.level == "fail"
    assert found.reason.startswith("Do not register now: 100% of the incentive") and found.remedy


async def test_a_hotkey_that_is_not_registered(tmp_path):
    found = (await looked(tmp_path, register=False))["registration"]
    assert found.level == "fail" and "not registered on subnet 72" in found.reason


async def test_a_clock_that_is_wrong(tmp_path):
    assert (await looked(tmp_path, offset_s=120))["clock"].level == "fail"


async def test_without_a_chain_the_rest_is_left_out(tmp_path):
    chain = Chain(72, ("ws://127.0.0.1:9",), timeout_s=3)
    found = await subnet.look(chain, US)
    assert [each.level for each in found] == ["fail", "skip"] and "127.0.0.1:9" in found[0].reason


def collateral(share):
    class Asked:
        async def collateral_policy(self):
            return {"lock_share": share, "drain_ratio": 0.5}

    return {
        who: asyncio.run(subnet.collateral(Asked(), SimpleNamespace(by_hotkey={VALIDATOR: None}), who)).level  # type: ignore[arg-type]
        for who in (US, VALIDATOR)
    }


def test_collateral_matters_to_whoever_is_not_registered_yet():
    assert collateral(0.0) == {US: "ok", VALIDATOR: "ok"}
    assert collateral(0.8) == {US: "warn", VALIDATOR: "ok"}


# All of it


async def test_everything_is_looked_at_and_nothing_is_changed(tmp_path):
    settings = Settings(
        subtensor={"network": "local"}, data={"path": tmp_path / "data"}, wallet={"path": tmp_path}
    )
    found = await examine(settings)
    assert {"python", "disk", "port", "hotkey", "chain", "models"} <= {each.check for each in found}
    assert not (tmp_path / "data").exists()


def test_the_command_speaks_json_and_fails_when_something_does(tmp_path):
    flags = ["--subtensor.network", "local", "--data.path", tmp_path / "data", "--wallet.path", tmp_path]
    run = subprocess.run(
        [sys.executable, "-m", "miner", "doctor", "--json", *map(str, flags)], capture_output=True, text=True
    )
    found = json.loads(run.stdout)
    assert run.returncode == 1 and {"check", "level", "reason", "remedy"} == found[0].keys()
    assert all(each["remedy"] for each in found if each["level"] in ("warn", "fail"))
