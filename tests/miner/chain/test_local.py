"""The local chain through the real SDK client."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time

import bittensor as bt
import pytest

from miner.chain.errors import ChainRefused
from miner.chain.local import LocalChain
from miner.chain.local_state import Rejected

approx = pytest.approx
A, B, M1, M2 = 1, 2, 3, 4


async def weigh(client, keys):
    """The weights of `test_yuma`'s vector."""
    await client.set_weights({M1: 0.8, M2: 0.2}, keys["a"])
    await client.set_weights({M1: 0.5, M2: 0.5}, keys["b"])


async def test_the_sdk_reads_what_was_registered(make_chain, keys, wall):
    sdk = bt.Client("local", substrate=make_chain(immunity_period=77))
    assert await sdk.neurons.uid(hotkey_ss58=keys["m1"].ss58_address, netuid=72) == M1
    assert await sdk.neurons.uid(hotkey_ss58=keys["stranger"].ss58_address, netuid=72) is None
    assert (await sdk.prices.alpha_price(netuid=72))["tao_per_alpha"] == 0.02
    assert await sdk.hyperparameters.immunity_period(netuid=72) == 77
    wall.now += 3.5
    assert await sdk.block() == 8_000_003
    status = await sdk.epochs.epoch_status(netuid=72)
    assert (status["next_epoch_start_block"], status["seconds_remaining"]) == (8_000_010, 7.0)


async def test_a_snapshot_holds_the_subnet(make_chain, make_client, keys, wall):
    snapshot = await make_client(make_chain(immunity_period=77, min_non_immune_uids=1)).snapshot()
    validator = snapshot.by_hotkey[keys["a"].ss58_address]
    assert (validator.uid, validator.stake, validator.validator_permit) == (A, 6000.0, True)
    assert (snapshot.tempo, snapshot.price, snapshot.block_s) == (10, 0.02, 1.0)
    assert (snapshot.immunity_period, snapshot.max_uids, snapshot.min_non_immune_uids) == (77, 256, 1)
    assert snapshot.owner_hotkey == keys["owner"].ss58_address
    assert snapshot.taken_at == wall.now


async def test_an_epoch_pays_what_was_worked_by_hand(make_chain, make_client, keys, wall):
    # 10 blocks of 1 alpha: owner 1.8, miners 4.1, validators 4.1. Incentive .68/.88 and .20/.88, dividends
    # 15/22 and 7/22 (test_yuma). Weights are rounded to 16 bits, hence the tolerance.
    client = make_client(make_chain())
    wall.now += 1
    await weigh(client, keys)
    assert (await client.weights())[A] == approx({M1: 0.8, M2: 0.2}, abs=1e-4)
    wall.now += 9
    paid = await client.snapshot()
    assert paid.last_epoch == 8_000_010
    emission = [n.emission for n in paid.neurons]
    assert emission == approx([0, 4.1 * 15 / 22, 4.1 * 7 / 22, 4.1 * 17 / 22, 4.1 * 5 / 22], abs=1e-3)
    stake = [n.stake for n in paid.neurons]
    assert stake == approx(
        [1.8, 6000 + emission[A], 4000 + emission[B], emission[M1], emission[M2]], abs=1e-6
    )
    assert (await client.bonds())[B] == approx({M1: 0.20 / 0.48, M2: 0.4 / 0.6}, abs=1e-3)


async def test_incentive_for_the_owner_is_burned(make_chain, make_client, keys, wall):
    local = make_chain()
    client = make_client(local)
    local.set_burning(1.0)
    wall.now += 10
    paid = await client.snapshot()
    owner = paid.by_hotkey[keys["owner"].ss58_address]
    assert owner.incentive == approx(1.0, abs=1e-4)
    assert owner.stake == approx(1.8)  # its cut; the 4.1 of incentive are gone
    assert sum(n.stake for n in paid.neurons) == approx(10_000 + 10 - 4.1)
    assert (await client.weights())[A] == {0: 1.0}


async def test_half_a_burn_leaves_the_miners_half(make_chain, make_client, keys, wall):
    local = make_chain()
    client = make_client(local)
    wall.now += 1
    await weigh(client, keys)
    local.set_burning(0.5)
    wall.now += 9
    paid = await client.snapshot()
    assert paid.neurons[0].incentive == approx(0.5 / (0.5 + 0.44), abs=1e-3)


async def test_without_weights_the_validators_share_everything_by_stake(make_chain, make_client, wall):
    client = make_client(make_chain())
    wall.now += 10
    paid = await client.snapshot()
    assert [n.emission for n in paid.neurons] == approx([0, 8.2 * 0.6, 8.2 * 0.4, 0, 0])


async def test_every_due_epoch_is_run_and_a_long_pause_is_paid_in_full(make_chain, make_client, wall):
    local = make_chain()
    client = make_client(local)
    wall.now += 35
    assert (await bt.Client("local", substrate=local).epochs.epoch_status(netuid=72))["epoch_index"] == 3
    wall.now += 10_000
    snapshot = await client.snapshot()
    assert snapshot.last_epoch == 8_010_030
    assert sum(n.stake for n in snapshot.neurons) == approx(10_000 + 10_030, rel=1e-6)


async def test_an_inactive_validator_has_no_say(make_chain, make_client, keys, wall):
    client = make_client(make_chain(activity_cutoff=15))
    wall.now += 1
    await weigh(client, keys)
    wall.now += 10
    await client.set_weights({M2: 1.0}, keys["b"])
    wall.now += 10
    paid = await client.snapshot()
    assert [n.incentive for n in paid.neurons[M1:]] == approx([0, 1], abs=1e-4)


async def test_permits_follow_the_stake(make_chain, make_client, keys, wall):
    local = make_chain(max_validators=1)
    local.add_stake(keys["b"].ss58_address, alpha=9000)
    wall.now += 10
    snapshot = await make_client(local).snapshot()
    assert [n.validator_permit for n in snapshot.neurons] == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("ip", "shown"), [("203.0.113.7", "203.0.113.7:8091"), ("2001:db8::7", "[2001:db8::7]:8091")]
)
async def test_an_address_is_served_and_shown(make_chain, make_client, keys, ip, shown):
    client = make_client(make_chain())
    await client.serve(ip, 8091, keys["m1"])
    assert (await client.snapshot()).neurons[M1].axon == shown


@pytest.mark.parametrize(
    ("ip", "port", "who", "name"),
    [
        ("127.0.0.1", 8091, "m1", "InvalidIpAddress"),
        ("255.255.255.255", 8091, "m1", "InvalidIpAddress"),
        ("::1", 8091, "m1", "InvalidIpAddress"),
        ("203.0.113.7", 0, "m1", "InvalidPort"),
        ("203.0.113.7", 8091, "stranger", "HotKeyNotRegisteredInNetwork"),
    ],
)
async def test_serving_is_refused_as_the_chain_refuses_it(make_chain, make_client, keys, ip, port, who, name):
    with pytest.raises(ChainRefused) as refused:
        await make_client(make_chain()).serve(ip, port, keys[who])
    assert refused.value.name == name
    assert not refused.value.rate_limited


async def test_serving_too_often_is_rate_limited(make_chain, make_client, keys, wall):
    client = make_client(make_chain())
    await client.serve("203.0.113.7", 8091, keys["m1"])
    wall.now += 4
    with pytest.raises(ChainRefused) as refused:
        await client.serve("203.0.113.8", 8091, keys["m1"])
    assert refused.value.rate_limited
    wall.now += 1
    await client.serve("203.0.113.8", 8091, keys["m1"])


async def test_loopback_can_be_allowed_for_a_rehearsal(make_chain, make_client, keys):
    client = make_client(make_chain(allow_loopback=True))
    await client.serve("127.0.0.1", 8091, keys["m1"])
    assert (await client.snapshot()).neurons[M1].axon == "127.0.0.1:8091"


@pytest.mark.parametrize(
    ("who", "weights", "name"),
    [
        ("stranger", {M1: 1.0}, "not_registered"),
        ("m1", {M2: 1.0}, "NotEnoughStakeToSetWeights"),
        ("owner", {M1: 1.0}, "NotEnoughStakeToSetWeights"),
        ("a", {99: 1.0}, "UidVecContainInvalidOne"),
    ],
)
async def test_weights_are_refused_as_the_chain_refuses_them(
    make_chain, make_client, keys, who, weights, name
):
    with pytest.raises(ChainRefused) as refused:
        await make_client(make_chain()).set_weights(weights, keys[who])
    assert refused.value.name == name


async def test_stake_alone_is_no_permit(make_chain, make_client, keys):
    local = make_chain()
    local.add_stake(keys["m1"].ss58_address, alpha=5000)
    with pytest.raises(ChainRefused, match="NeuronNoValidatorPermit"):
        await make_client(local).set_weights({M2: 1.0}, keys["m1"])


async def test_weights_have_a_rate_limit(make_chain, make_client, keys, wall):
    client = make_client(make_chain(weights_rate_limit=5))
    wall.now += 5
    await client.set_weights({M1: 1.0}, keys["a"])
    wall.now += 4
    with pytest.raises(ChainRefused) as refused:
        await client.set_weights({M1: 1.0}, keys["a"])
    assert refused.value.rate_limited


def test_a_full_subnet_prunes_the_right_neuron(make_chain, keys, wall):
    # Past immunity (10 blocks): a, b, m1, m2; the floor of 2 lets the poorest two go. Nobody earned, so the
    # oldest registration decides, then the lowest uid: a, then b. Then only immune newcomers may go.
    local = make_chain(max_uids=5, immunity_period=10, min_non_immune_uids=2, tempo=1000)
    wall.now += 10
    assert local.register("new1") == A
    assert local.register("new2") == B
    wall.now += 1
    assert local.register("new3") == A
    with pytest.raises(Rejected, match="HotKeyAlreadyRegistered"):
        local.register(keys["m1"].ss58_address)


async def test_a_taken_uid_keeps_nothing_of_its_former_holder(make_chain, make_client, keys, wall):
    local = make_chain()
    client = make_client(local)
    wall.now += 1
    await weigh(client, keys)
    await client.serve("203.0.113.7", 8091, keys["m1"])
    wall.now += 9
    local.deregister(keys["m1"].ss58_address)
    assert M1 not in (await client.bonds())[A]
    after = await client.snapshot()
    stranger = after.neurons[M1]
    assert stranger.hotkey != keys["m1"].ss58_address
    assert (stranger.axon, stranger.incentive, stranger.emission, stranger.stake) == (None, 0.0, 0.0, 0.0)
    wall.now += 10
    assert (await client.snapshot()).neurons[
        M1
    ].incentive == 0.0  # the old weights do not count for the newcomer
    uid = local.register(keys["m1"].ss58_address)
    assert (await client.snapshot()).neurons[uid].stake > 3  # what it had earned is still its own


async def test_the_sdk_is_told_what_is_not_modelled(make_chain):
    client = bt.Client("local", substrate=make_chain())
    with pytest.raises(bt.ChainError, match="does not model"):
        await client.query(("SubtensorModule", "NoSuchItem"), [72])


async def test_the_sdk_can_wait_for_blocks_and_epochs(tmp_path):
    client = bt.Client("local", substrate=LocalChain.create(tmp_path / "fast.sqlite", block_s=0.01, tempo=20))
    header = await client.wait_for_block(timeout=20)
    assert header.number > 8_000_000
    event = await client.wait_for_epoch(72, timeout=20)
    assert event.block == event.previous + 20


async def test_the_rest_of_the_protocol_that_the_sdk_may_touch(
    make_chain, make_client, keys, tmp_path, monkeypatch
):
    monkeypatch.setenv("BTCLI_TOKEN_SYMBOLS_CACHE", str(tmp_path / "symbols.json"))  # not in the home folder
    local = make_chain(weights_rate_limit=7)
    client = bt.Client("local", substrate=local)
    await client.connect()
    assert client.token_symbols == {}
    assert await client.finalized_block() == await client.block()
    assert await client.hyperparameters.weights_rate_limit(netuid=72) == 7
    assert await client.query_batch(
        bt.storage.SubtensorModule.Uids, [[72, "5x"], [72, keys["m1"].ss58_address]]
    ) == [
        None,
        M1,
    ]
    assert await client.constant(("Aura", "SlotDuration")) == 1000
    assert await client.neurons.hotkey_owner(hotkey_ss58=keys["owner"].ss58_address) == "5owner-cold"
    assert (await client.subnets.metagraph(72)).commitments == {}
    assert await client.epochs.blocks_since_last_update(netuid=72, uid=A) == 0
    with pytest.raises(bt.ChainError, match="does not model"):
        await client.execute(bt.ServePrometheus(netuid=72, ip="203.0.113.7", port=1), keys["m1"])
    assert await local.account_next_index(keys["m1"].ss58_address) == 0
    await make_client(local).serve("203.0.113.7", 1, keys["m1"])
    assert await local.account_next_index(keys["m1"].ss58_address) == 1


async def test_the_price_is_the_scenarios_to_set(make_chain, make_client):
    local = make_chain()
    local.set_price(0.5)
    assert (await make_client(local).snapshot()).price == 0.5


@pytest.mark.parametrize("rules", [{"block_s": 0}, {"tempo": 0}, {"max_uids": 0}])
def test_unusable_rules_are_refused(make_chain, rules):
    with pytest.raises(ValueError, match="positive"):
        make_chain(**rules)


def test_a_burn_is_a_share_and_only_the_registered_can_go(make_chain):
    local = make_chain()
    with pytest.raises(ValueError, match="between 0 and 1"):
        local.set_burning(1.5)
    with pytest.raises(Rejected, match="HotKeyNotRegistered"):
        local.deregister("5nobody")


@pytest.mark.parametrize(
    ("uids", "values", "name"),
    [
        ([M1], [1, 2], "WeightVecNotEqualSize"),
        ([M1, M1], [1, 2], "DuplicateUids"),
        ([M1], [1], "WeightVecLengthIsLow"),
        ([M1, M2], [9, 1], "MaxWeightExceeded"),
    ],
)
def test_the_chain_checks_a_row_itself(make_chain, keys, wall, uids, values, name):
    local = make_chain(min_allowed_weights=2, max_weight_limit=40_000)
    with local._store.open() as state, pytest.raises(Rejected, match=name):
        state.set_weights(keys["a"].ss58_address, uids, values)


def test_a_chain_is_never_overwritten(make_chain):
    local = make_chain()
    with pytest.raises(FileExistsError):
        LocalChain.create(local.path)


def test_a_file_that_is_no_chain_is_a_dead_chain(tmp_path):
    broken = tmp_path / "chain.sqlite"
    broken.write_text("not a database, but long enough to be read as the header of one" * 20)
    with pytest.raises(ConnectionError, match="cannot be read"):
        LocalChain(broken).register("any")


STAKER = """
import sys
from miner.chain.local import LocalChain
chain = LocalChain(sys.argv[1])
for _ in range(int(sys.argv[2])):
    chain.add_stake("shared", alpha=1.0)
    chain.register(f"{sys.argv[3]}-{_}")
"""


def stake_of(path, hotkey):
    with sqlite3.connect(path) as db:
        return db.execute("SELECT alpha FROM stake WHERE hotkey = ?", (hotkey,)).fetchone()[0] / 1e9


def test_processes_lose_none_of_each_others_writes(tmp_path):
    path = tmp_path / "chain.sqlite"
    LocalChain.create(path, max_uids=1000)
    run = [sys.executable, "-c", STAKER, str(path), "25"]
    writers = [subprocess.Popen([*run, f"writer{i}"]) for i in range(3)]
    assert [w.wait(60) for w in writers] == [0, 0, 0]
    assert stake_of(path, "shared") == 75
    with sqlite3.connect(path) as db:
        assert [row[0] for row in db.execute("SELECT uid FROM neuron ORDER BY uid")] == list(range(76))


KILLED = """
import os, signal, sys
from miner.chain.local import LocalChain
chain = LocalChain(sys.argv[1])
with chain._store.open() as state:
    state.add_stake("victim", 10**9)
    state.db.execute("DELETE FROM neuron")
    print("in the middle", flush=True)
    signal.pause()
"""


def test_a_process_killed_in_mid_transaction_leaves_nothing_behind(tmp_path):
    path = tmp_path / "chain.sqlite"
    local = LocalChain.create(path)
    local.add_stake("victim", alpha=7)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "in the middle\n"
        os.kill(child.pid, signal.SIGKILL)
    assert local.register("next") == 1
    assert stake_of(path, "victim") == 7


def test_processes_agree_on_the_block(tmp_path):
    local = LocalChain.create(tmp_path / "chain.sqlite", block_s=0.001, tempo=10**6)
    code = "import sys; from miner.chain.local import LocalChain; import asyncio;"
    code += "print(asyncio.run(LocalChain(sys.argv[1]).block_number()))"
    before = time.time()
    done = subprocess.run(
        [sys.executable, "-c", code, str(local.path)], capture_output=True, text=True, check=True
    )
    with local._store.open() as state:
        assert 8_000_000 < int(done.stdout) <= state.head <= 8_000_000 + (time.time() - before + 60) * 1000
