from __future__ import annotations

import pytest
from chain_samples import neuron, snapshot

from miner.chain.subnet_health import assess, burned_by_weights

approx = pytest.approx


def subnet(owner=0.0, miners=1.0, *, updated=9_990, second_update=9_990, pot=147.6, **fields):
    """Owner (0), validators with 75 and 25 % of the stake (1, 2), miners (3, 4); block 10,000, tempo 360."""
    return snapshot(
        neuron(0, incentive=owner, emission=owner * pot),
        neuron(
            1, stake=3000.0, validator_permit=True, dividends=0.75, emission=0.75 * pot, last_update=updated
        ),
        neuron(
            2,
            stake=1000.0,
            validator_permit=True,
            dividends=0.25,
            emission=0.25 * pot,
            last_update=second_update,
        ),
        neuron(3, incentive=0.6 * miners, emission=0.6 * miners * pot),
        neuron(4, incentive=0.4 * miners, emission=0.4 * miners * pot),
        **{"max_uids": 256, **fields},
    )


def test_a_healthy_subnet_pays_its_miners_the_known_amount():
    # 360 alpha an epoch, 41 % of it = 147.6 to miners, 20 epochs a day: 2,952 alpha, at 0.01 TAO 29.52 TAO
    health = assess(subnet())
    assert (health.level, health.burned) == ("ok", 0.0)
    assert health.miners_alpha_day == approx(2952)
    assert health.miners_tao_day == approx(29.52)
    assert (health.validators, health.at_work, health.at_work_stake) == (2, 2, 1.0)
    assert "Miners are paid" in health.sentence


def test_a_burning_subnet_is_told_in_plain_words():
    health = assess(subnet(owner=1.0, miners=0.0))
    assert (health.level, health.burned, health.miners_alpha_day) == ("fail", 1.0, approx(0))
    assert health.sentence == "Do not register now: 100% of the incentive goes to the owner and is burned."


def test_half_a_burn_is_a_warning_and_halves_the_pay():
    health = assess(subnet(owner=0.5, miners=0.5))
    assert (health.level, health.burned) == ("warn", approx(0.5))
    assert health.miners_alpha_day == approx(2952 / 2)


def test_any_hotkey_of_the_owners_coldkey_burns():
    taken = subnet()
    assert assess(subnet(owner_coldkey="cold3")).burned == approx(0.6)
    assert assess(taken).burned == 0.0


def test_weights_show_a_burn_before_the_epoch_does():
    health = assess(subnet(), {1: {0: 1.0}, 2: {0: 0.6, 3: 0.4}})
    assert (health.burned, health.burned_next) == (0.0, approx(0.75 + 0.25 * 0.6))
    assert health.level == "warn"


def test_weights_of_nobody_tell_nothing():
    assert burned_by_weights(subnet(), {}) is None
    assert burned_by_weights(subnet(), {3: {0: 1.0}, 1: {0: 0.0}}) is None


def test_silent_validators_are_noticed():
    # two tempos of 360 blocks before block 10,000: 9,280 is at work, 9,279 is not
    assert assess(subnet(updated=9_280)).at_work == 2
    one = assess(subnet(updated=9_279))
    assert (one.level, one.at_work, one.at_work_stake) == ("warn", 1, 0.25)
    assert "25%" in one.sentence
    none = assess(subnet(updated=9_279, second_update=9_279))
    assert none.level == "fail"
    assert "nobody scores miners" in none.sentence


def test_a_subnet_that_pays_no_incentive_at_all_is_no_place_to_mine():
    health = assess(subnet(miners=0.0))
    assert (health.level, health.burned, health.miners_alpha_day) == ("fail", None, 0.0)


async def test_a_local_subnet_under_burn_looks_like_one(make_chain, make_client, wall):
    local = make_chain()
    local.set_burning(1.0)
    wall.now += 10
    client = make_client(local)
    health = assess(await client.snapshot(), await client.weights())
    assert (health.burned, health.burned_next, health.miners_alpha_day) == (1.0, 1.0, 0.0)
