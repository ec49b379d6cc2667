"""Who may ask: one lookup in a table rebuilt per metagraph snapshot and swapped in one assignment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from loguru import logger

from miner.settings import Blacklist
from miner.wire.synapse import Rejected


class Member(Protocol):
    """What admission reads of a neuron; `stake` in alpha."""

    @property
    def hotkey(self) -> str: ...
    @property
    def stake(self) -> float: ...
    @property
    def validator_permit(self) -> bool: ...


class Members(Protocol):
    """What admission reads of a metagraph snapshot."""

    @property
    def neurons(self) -> Iterable[Member]: ...


@dataclass(frozen=True, slots=True)
class _Table:
    """`stakes` of those admitted; `reasons` why a registered hotkey is not; `others` what others hear."""

    stakes: Mapping[str, float]
    reasons: Mapping[str, str]
    others: str | None


_STARTING = _Table({}, {}, "starting")
_DEREGISTERED = _Table({}, {}, "deregistered")


class Admission:
    """`update` may be called from any thread; `check` sees the old table or the new one.

    Before the first snapshot everybody gets 503 "starting" rather than 403: a validator scores both alike,
    but 503 is the truth (we do not know yet whom to refuse), invites a retry and does not look like a
    blacklist in anybody's log. The same holds while `own_hotkey`, when given, is not registered.

    `allow_non_registered` admits hotkeys that the snapshot does not have, with stake 0; permit and stake
    tests are about those it has.
    """

    def __init__(self, blacklist: Blacklist, own_hotkey: str | None = None) -> None:
        self._blacklist = blacklist
        self._own = own_hotkey
        self._table = _STARTING
        self._nobody = False

    @property
    def admitted(self) -> Mapping[str, float]:
        """Hotkey -> stake in alpha of everybody admitted by name now."""
        return self._table.stakes

    def update(self, snapshot: Members | None) -> None:
        """Swap in the table of a new snapshot; None goes back to answering nobody. A table that admits nobody
        is said once: the settings may ask too much."""
        table = self._table = _STARTING if snapshot is None else self._build(snapshot)
        nobody = bool(table.reasons) and table.others is not None and not table.stakes
        if nobody and not self._nobody:
            lacking = Counter(table.reasons.values())
            logger.warning(
                "no validator is admitted: of {} hotkeys on the subnet {} lack the permit, and {} a stake of "
                "{:,.0f} alpha (blacklist.min_stake)",
                *(lacking.total(), lacking["permit"], lacking["stake"], self._blacklist.min_stake),
            )
        self._nobody = nobody

    def check(self, hotkey: str) -> float:
        """The caller's stake in alpha. Raises Rejected for whoever is not answered, or while nobody is."""
        table = self._table
        stake = table.stakes.get(hotkey)
        if stake is not None:
            return stake
        reason = table.reasons.get(hotkey, table.others)
        if reason is None:
            return 0.0
        raise Rejected(reason)

    def _build(self, snapshot: Members) -> _Table:
        stakes: dict[str, float] = {}
        reasons: dict[str, str] = {}
        for neuron in snapshot.neurons:
            if self._blacklist.force_validator_permit and not neuron.validator_permit:
                reasons[neuron.hotkey] = "permit"
            elif not neuron.stake >= self._blacklist.min_stake:  # a stake that is no number is none
                reasons[neuron.hotkey] = "stake"
            else:
                stakes[neuron.hotkey] = float(neuron.stake)
        if self._own is not None and self._own not in stakes and self._own not in reasons:
            return _DEREGISTERED
        return _Table(stakes, reasons, None if self._blacklist.allow_non_registered else "stranger")
