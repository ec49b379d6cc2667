"""Who is let in, by the snapshot and the settings."""

from __future__ import annotations

import pytest
from loguru import logger
from wire_kit import MINER, NO_PERMIT, POOR, SNAPSHOT, STAKE, STRANGER, VALI, VALI2, Neuron, Snapshot

from miner.chain import snapshot as chain
from miner.settings import Blacklist
from miner.wire.admission import Admission
from miner.wire.synapse import Rejected


def outcome(admission: Admission, keypair) -> float | str:
    try:
        return admission.check(keypair.ss58_address)
    except Rejected as rejected:
        return rejected.reason


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [STAKE, 2 * STAKE, "stake", "permit", "permit", "stranger"]),
        ({"min_stake": 0}, [STAKE, 2 * STAKE, 999.0, "permit", "permit", "stranger"]),
        ({"force_validator_permit": False}, [STAKE, 2 * STAKE, "stake", STAKE, "stake", "stranger"]),
        ({"allow_non_registered": True}, [STAKE, 2 * STAKE, "stake", "permit", "permit", 0.0]),
        ({"min_stake": 6000}, ["stake", 2 * STAKE, "stake", "permit", "permit", "stranger"]),
    ],
)
def test_the_settings_decide(settings, expected):
    admission = Admission(Blacklist(**settings))
    admission.update(SNAPSHOT)
    assert [outcome(admission, k) for k in (VALI, VALI2, POOR, NO_PERMIT, MINER, STRANGER)] == expected


def test_before_the_first_snapshot_everybody_is_told_to_come_back():
    admission = Admission(Blacklist(allow_non_registered=True))
    assert outcome(admission, VALI) == outcome(admission, STRANGER) == "starting"
    assert Rejected("starting").status == 503


def test_a_new_snapshot_replaces_the_old_one_whole():
    admission = Admission(Blacklist())
    admission.update(SNAPSHOT)
    admission.update(Snapshot([Neuron(VALI2.ss58_address, STAKE, True)]))
    assert outcome(admission, VALI) == "stranger"
    assert dict(admission.admitted) == {VALI2.ss58_address: STAKE}
    admission.update(None)
    assert outcome(admission, VALI2) == "starting"


def test_while_our_own_hotkey_is_not_registered_nobody_is_answered():
    admission = Admission(Blacklist(), own_hotkey=MINER.ss58_address)
    admission.update(Snapshot([Neuron(VALI.ss58_address, STAKE, True)]))
    assert outcome(admission, VALI) == "deregistered"
    admission.update(SNAPSHOT)
    assert outcome(admission, VALI) == STAKE


def test_the_chains_own_snapshot_fits():
    neuron = chain.Neuron(7, VALI.ss58_address, "5C", STAKE, True, None, 0.0, 0.0, 0.0, 0, 0, True)
    admission = Admission(Blacklist())
    admission.update(chain.Snapshot(72, 1, 360, 0.0, 0.01, "5O", 100, 256, (neuron,)))
    assert outcome(admission, VALI) == STAKE


def test_settings_that_shut_everybody_out_are_said_once():
    said: list[str] = []
    sink = logger.add(lambda message: said.append(message.record["message"]))
    admission = Admission(Blacklist(min_stake=10**6))
    for _ in range(2):
        admission.update(SNAPSHOT)
    assert len(said) == 1
    assert "of 5 hotkeys on the subnet 2 lack the permit, and 3 a stake of 1,000,000 alpha" in said[0]
    admission.update(Snapshot([Neuron(VALI.ss58_address, 10.0**7, True)]))
    admission.update(SNAPSHOT)
    assert len(said) == 2
    Admission(Blacklist(min_stake=10**6, allow_non_registered=True)).update(SNAPSHOT)
    Admission(Blacklist(), own_hotkey=STRANGER.ss58_address).update(SNAPSHOT)
    logger.remove(sink)
    assert len(said) == 2, "strangers are admitted, or we are not registered, which is said elsewhere"
