"""Which miners a validator asks: the subnet's rule of eligibility and its shuffled deck."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from miner.chain.snapshot import Neuron, Snapshot

SAMPLE = 10
"""Miners asked per challenge."""
VALIDATOR_STAKE = 40_096.0
"""A neuron with a permit and more stake than this counts as a validator and is never asked."""


@dataclass(frozen=True, slots=True)
class Target:
    """A miner that can be asked: where it serves, and for whom the challenge is signed."""

    uid: int
    hotkey: str
    host: str
    port: int


def eligible(snapshot: Snapshot) -> dict[int, Target]:
    """uid -> target of every neuron that serves an address and is no large validator."""
    targets = (_target(neuron) for neuron in snapshot.neurons)
    return {target.uid: target for target in targets if target is not None}


def _target(neuron: Neuron) -> Target | None:
    if neuron.axon is None or (neuron.validator_permit and neuron.stake > VALIDATOR_STAKE):
        return None
    address = urlsplit(f"//{neuron.axon}")
    if not address.hostname or not address.port or address.hostname in ("0.0.0.0", "::"):
        return None
    return Target(neuron.uid, neuron.hotkey, address.hostname, address.port)


class Deck:
    """Deals every uid once per shuffled round, so that all are asked equally often.

    As in the subnet, a hand that reaches over the end of a round can hold a uid twice.
    """

    def __init__(self, rng: random.Random, sample: int = SAMPLE) -> None:
        self._rng, self._sample = rng, sample
        self._cards: list[int] = []

    def deal(self, uids: Iterable[int]) -> list[int]:
        """Up to `sample` of the uids, never more than there are."""
        known = sorted(uids)
        hand: list[int] = []
        while len(hand) < min(self._sample, len(known)):
            self._cards = [uid for uid in self._cards if uid in known] or self._shuffled(known)
            hand.append(self._cards.pop())
        return hand

    def _shuffled(self, uids: list[int]) -> list[int]:
        cards = list(uids)
        self._rng.shuffle(cards)
        return cards
