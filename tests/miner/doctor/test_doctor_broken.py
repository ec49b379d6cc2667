"""A host on which everything is wrong: each check of the doctor is made to fail, and has a remedy."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from bittensor.keyfiles import Keypair

from miner.chain.client import Chain
from miner.chain.local import LocalChain
from miner.chain.snapshot import Neuron, Snapshot
from miner.doctor import asked, host, keys, models, network, subnet
from miner.doctor.examine import examine
from miner.doctor.finding import Finding
from miner.doctor.honoured import honoured, notices
from miner.ledger import LEDGER_NAME
from miner.settings import Axon, CascadeSection, Model, Servers, Settings, Wallet, load

OWNER, VALIDATOR, US = (Keypair.create_from_uri(f"//{name}").ss58_address for name in ("owner", "vali", "us"))
NEVER_FAILS = {"attention"}
"""Checks that only tell."""


async def burning(tmp_path) -> dict[str, Finding]:
    """What the doctor says of a subnet whose validators burn everything; our clock is a minute off."""
    now = [1_800_000_000.0]
    rules = {"block_s": 1.0, "tempo": 10, "weights_rate_limit": 0, "immunity_period": 1}
    path = tmp_path / "chain.sqlite"
    chain = LocalChain.create(path, owner=(OWNER, "5cold"), price=0.02, clock=lambda: now[0], **rules)
    chain.register(VALIDATOR, alpha=6000, permit=True)
    chain.register(US)
    chain.set_rivals({100 + n: 0.5 for n in range(127)})
    client = Chain(72, substrate=chain, wall=lambda: now[0])
    await client.set_weights({0: 1.0}, Keypair.create_from_uri("//vali"))
    now[0] += 12
    try:
        found = await subnet.look(client, US, wall=lambda: now[0] + 60.0)
    finally:
        await client.close()
    return {each.check: each for each in found}


async def dead_end(ip, port):
    return False


async def broken(tmp_path, monkeypatch) -> list[Finding]:
    """One finding of each check, all of them bad."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    data = host.writable(tmp_path / "data")
    monkeypatch.undo()
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "coldkey").write_text("{}")
    (tmp_path / "servers.json").write_text("[]]")
    (tmp_path / "unread").mkdir()
    (tmp_path / "unread" / LEDGER_NAME).write_bytes(b"damaged" * 1000)
    wallet = Wallet(name="w", hotkey="h", path=tmp_path)
    taken = network.bind("127.0.0.1", 0)
    try:
        port = network.port(Axon(ip="127.0.0.1", port=taken.getsockname()[1]), tmp_path)
    finally:
        taken.close()
    told = await burning(tmp_path)
    idle = Neuron(0, "v", "v", 900.0, True, None, 0.0, 0.0, 0.0, 0, 0, True)

    class Policy:
        async def collateral_policy(self):
            return {"lock_share": 0.8, "drain_ratio": 0.5}

    return [
        host.python((3, 9)),
        host.libraries({"torch": None, "transformers": "5", "bittensor": "11.3.0"}),
        host.device("cuda", {}, "2.13.0"),
        host.memory(10**9),
        host.disk(tmp_path, free=10**6),
        data,
        host.files(2048, hard=256),
        network.ipv6(Axon(), has=False),
        keys.coldkey(wallet),
        keys.hotkey(wallet)[0],
        models.cascade(CascadeSection(path="/nowhere"), Model()),
        models.certificate(CascadeSection(path="/nowhere"), Model()),
        port,
        await network.reachable(Axon(external_ip="127.0.0.1"), tmp_path, local=False, probe=dead_end),
        *await models.servers(Servers(file=tmp_path / "servers.json")),
        told["clock"],
        told["subnet"],
        subnet.validators(Snapshot(72, 10_000, 360, 0.0, 0.02, "owner", 100, 256, (idle,))),
        told["price"],
        asked.challenges(tmp_path / "unread"),
        honoured(Settings(engine={"mode": "ray://127.0.0.1:9"})),
        notices(load(["--no-blacklist.force_validator_permit"], env={})),
        subnet.registration(SimpleNamespace(by_hotkey={}, netuid=72), US),  # type: ignore[arg-type]
        await subnet.collateral(Policy(), SimpleNamespace(by_hotkey={}), US),  # type: ignore[arg-type]
        (await subnet.look(Chain(72, ("ws://127.0.0.1:9",), timeout_s=3), US))[0],
    ]


async def test_every_check_can_fail_and_says_what_to_do(tmp_path, monkeypatch):
    settings = Settings(
        subtensor={"network": "local"}, data={"path": tmp_path / "sound"}, wallet={"path": tmp_path}
    )
    names = {each.check for each in await examine(settings)}
    found = await broken(tmp_path, monkeypatch)
    assert {each.check for each in found} >= names - NEVER_FAILS, "a check that no test makes fail"
    for each in found:
        assert each.level in ("warn", "fail") and each.reason.endswith(".") and each.remedy, each


async def test_a_burning_subnet_is_named_with_what_it_means(tmp_path):
    found = await burning(tmp_path)
    assert found["subnet"].level == "fail" and found["clock"].level == "fail"
    assert found["subnet"].reason.startswith("Do not register now: 100% of the incentive")
    assert "needs no subnet" in found["subnet"].remedy


def test_whoever_goes_next_is_warned():
    rows = [
        Neuron(uid, name, name, 0.0, False, None, 0.0, 0.0, 0.0, 0, 0, True) for uid, name in enumerate("ab")
    ]
    full = Snapshot(72, 1000, 360, 0.0, 0.02, "owner", 100, 2, tuple(rows), block_s=12.0)
    said = subnet.registration(full, "a")
    assert said.level == "warn" and "after 1 more registrations" in said.reason and said.remedy


async def test_each_of_several_hotkeys_is_looked_at(tmp_path):
    settings = Settings(
        subtensor={"network": "local"},
        data={"path": tmp_path / "data"},
        wallet={"path": tmp_path, "name": "w", "hotkeys": ["a", "b"]},
        axon={"ip": "127.0.0.1", "port": 48_091},
    )
    found = await examine(settings)
    reasons = [each.reason for each in found if each.check == "hotkey"]
    assert len(reasons) == 2 and "/a" in reasons[0] and "/b" in reasons[1]
    ports = [each.reason for each in found if each.check == "port"]
    assert ["48091" in ports[0], "48092" in ports[1]] == [True, True]


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_hotkey_that_others_may_read_is_warned_of(tmp_path, mode):
    import bittensor

    made = bittensor.Wallet(name="w", hotkey="h", path=str(tmp_path))
    made.create_new_hotkey(suppress=True)
    (tmp_path / "w" / "hotkeys" / "h").chmod(mode)
    found, address = keys.hotkey(Wallet(name="w", hotkey="h", path=tmp_path))
    assert found.level == "warn" and "chmod 600" in found.remedy and address
