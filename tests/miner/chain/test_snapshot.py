from __future__ import annotations

import subprocess
import sys

from chain_samples import neuron, snapshot

from miner.chain.snapshot import pruning_order, pruning_position


def uids(neurons):
    return [n.uid for n in neurons]


def test_hotkeys_are_found_and_strangers_are_not():
    taken = snapshot(neuron(0), neuron(1))
    assert taken.uid_of("hot1") == 1
    assert taken.uid_of("stranger") is None


def test_nobody_is_pruned_while_a_uid_is_free():
    assert pruning_order(snapshot(neuron(0), neuron(1), max_uids=3)) == ()


def test_the_poorest_goes_first_then_the_oldest_then_the_lowest_uid_and_the_owner_never():
    # block 10,000, immunity 100: everybody but uid 5 (registered at 9,950) is past immunity
    taken = snapshot(
        neuron(0, emission=0.0),  # the owner
        neuron(1, emission=2.0, block_at_registration=10),
        neuron(2, emission=1.0, block_at_registration=30),
        neuron(3, emission=1.0, block_at_registration=20),
        neuron(4, emission=1.0, block_at_registration=20),
        neuron(5, emission=0.0, block_at_registration=9_950),
    )
    assert uids(pruning_order(taken)) == [3, 4, 2, 1, 5]
    assert pruning_position(taken, "hot2") == 2
    assert pruning_position(taken, "hot0") is None


def test_with_few_past_immunity_the_immune_go_instead():
    old = [neuron(i, emission=float(i), block_at_registration=0) for i in range(4)]
    young = [neuron(4, emission=9.0, block_at_registration=9_999), neuron(5, block_at_registration=9_998)]
    # uids 1, 2, 3 are past immunity and not the owner's; a floor of 2 lets one of them go
    assert uids(pruning_order(snapshot(*old, *young, min_non_immune_uids=2))) == [1, 5, 4]
    assert uids(pruning_order(snapshot(*old, *young, min_non_immune_uids=3))) == [5, 4]


def test_immunity_ends_exactly_with_the_period():
    taken = snapshot(
        neuron(0), neuron(1, block_at_registration=9_901), neuron(2, block_at_registration=9_900)
    )
    assert taken.immune(taken.neurons[1])
    assert not taken.immune(taken.neurons[2])


def test_the_vocabulary_of_the_chain_loads_no_sdk():
    code = (
        "import sys; import miner.chain.snapshot, miner.rewards, miner.chain.subnet_health,"
        "miner.chain.watch, miner.chain.announce; print('bittensor' in sys.modules or 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
