"""Keeps the rewards: a twin per validator beside what the chain shows, an entry per epoch, and the alarms."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from miner.alarms import Alarms
from miner.chain.errors import ChainDown, ChainRefused
from miner.chain.scorers import Rows, Scorer, scorers
from miner.chain.snapshot import Snapshot
from miner.chain.subnet_health import burned_share
from miner.ledger import Ledger, payouts
from miner.ledger.asked import Asked, histories
from miner.rewards import rules
from miner.rewards.diary import Diary
from miner.rewards.onchain import Payout, alpha_per_day, payout, tao_per_day
from miner.rewards.rows import ValidatorRow, validator_rows
from miner.rewards.standing import LIMIT, Standing, standing, usual_gap
from miner.settings import Rewards
from miner.status import short

READ_EVERY_S = 3600.0
"""Weights and bonds are large: they are read at every epoch, and this often where those are far apart."""
EARLIER = 20
"""Epochs looked back for what an earlier run noted."""
DOUBTS = 2
"""Epochs in a row for which twin and chain must disagree: a weight set just now is not on the chain yet."""


class Scores(Protocol):
    """The chain's large tables: `Chain`."""

    async def weights(self) -> dict[int, dict[int, float]]: ...

    async def bonds(self) -> dict[int, dict[int, float]]: ...


class Watched(Protocol):
    """Whoever has the newest snapshot: `ChainWatch`."""

    @property
    def snapshot(self) -> Snapshot | None: ...


@dataclass(frozen=True, slots=True)
class _Tables:
    weights: Rows
    bonds: Rows
    read_s: float


class RewardKeeper:
    """`check` is a job's work. `rows` is what it last found, for whoever shows it. `hotkey`: whose rewards
    (empty: those of the ledger's own)."""

    def __init__(
        self,
        chain: Scores,
        watch: Watched,
        ledger: Ledger,
        alarms: Alarms,
        section: Rewards,
        diary: Diary,
        *,
        hotkey: str = "",
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._hotkey = hotkey or ledger.hotkey
        self.rows: list[ValidatorRow] = []
        self._chain, self._watch, self._ledger, self._alarms = chain, watch, ledger, alarms
        self._section, self._diary, self._wall = section, diary, wall
        self._since_s = wall()
        self._tables: _Tables | None = None
        self._epoch = 0
        self._doubts: Counter[str] = Counter()
        self._stakes: dict[str, float] | None = None
        self._known: dict[str, tuple[tuple[Any, ...], Standing]] = {}

    async def check(self) -> str:
        """Look at ledger and chain, ring alarms, write down a new epoch; what was seen, in a line."""
        snapshot = self._watch.snapshot
        seen = await asyncio.to_thread(histories, self._ledger.path, self._hotkey, LIMIT)
        standings = await asyncio.to_thread(self._standings, seen)
        if snapshot is None:
            self._ring_halt(seen)
            return "no snapshot of the subnet yet"
        said = await self._read_tables(snapshot)
        tables = self._tables or _Tables({}, {}, 0.0)
        found = scorers(snapshot, self._hotkey, tables.weights, tables.bonds)
        self.rows = validator_rows(found, standings)
        self._ring(snapshot, found, standings, seen)
        if snapshot.last_epoch > self._epoch:
            if self._stakes is None:
                self._stakes = await asyncio.to_thread(self._earlier_stakes)
            self._alarms.hold("twin", await asyncio.to_thread(self._compare, found, seen))
            self._note_epoch(snapshot, found)
            self._epoch = snapshot.last_epoch
        return f"{len(found)} validators, {self._summary()}{said}"

    # the twins

    def _standings(self, seen: Mapping[str, Sequence[Asked]]) -> dict[str, Standing]:
        """Computed anew only where a challenge or a label has come since."""
        for hotkey, history in seen.items():
            sign = (len(history), history[-1].at_ns, sum(one.truth is not None for one in history))
            if self._known.get(hotkey, ((), None))[0] != sign:
                self._known[hotkey] = (sign, standing(history))
        return {hotkey: self._known[hotkey][1] for hotkey in seen}

    def _summary(self) -> str:
        known = [row for row in self.rows if row["challenges"]]
        stake = sum(row["share"] for row in known)
        if not stake:
            return "none of them has asked yet"
        worst, best = (sum(row[name] * row["share"] for row in known) / stake for name in ("worst", "best"))
        return f"score {worst:.3f} to {best:.3f} by stake"

    # the chain

    async def _read_tables(self, snapshot: Snapshot) -> str:
        """Weights and bonds, when they are due; why they could not be read, else nothing."""
        old = self._tables
        if old and snapshot.last_epoch <= self._epoch and self._wall() - old.read_s < READ_EVERY_S:
            return ""
        try:
            weights, bonds = await self._chain.weights(), await self._chain.bonds()
        except (ChainDown, ChainRefused) as error:
            return f"; weights and bonds not read: {error}"
        self._tables = _Tables(weights, bonds, self._wall())
        return ""

    def _compare(self, found: Sequence[Scorer], seen: Mapping[str, Sequence[Asked]]) -> rules.Found:
        """Twin against chain, once an epoch."""
        said: rules.Found = {}
        for scorer in found:
            then = standing(seen.get(scorer.hotkey, ()), until_ns=int(scorer.set_s * 1e9))
            why = rules.disagreement(scorer, then) if then.challenges else None
            self._doubts[scorer.hotkey] = self._doubts[scorer.hotkey] + 1 if why else 0
            if why and self._doubts[scorer.hotkey] >= DOUBTS:
                said[scorer.hotkey] = ("warn", why)
        return said

    # the alarms

    def _ring(
        self,
        snapshot: Snapshot,
        found: Sequence[Scorer],
        standings: dict[str, Standing],
        seen: Mapping[str, Sequence[Asked]],
    ) -> None:
        hotkey, section = self._hotkey, self._section
        self._alarms.hold("burn", rules.burn(burned_share(snapshot)))
        self._alarms.hold("place", rules.place(snapshot, hotkey, section.risk_position))
        newest = sorted((one for history in seen.values() for one in history), key=lambda one: one.at_ns)
        self._alarms.hold("missed", rules.missed(newest[-rules.NEWEST :]))
        self._alarms.hold("one-sided", rules.one_sided(newest[-rules.NEWEST :]))
        halted = self._ring_halt(seen)
        quiet: rules.Found = {}
        if not halted:
            quiet = rules.silent(found, standings, self._since_s, self._wall(), section.silent_gaps)
        self._alarms.hold("silent", quiet)

    def _ring_halt(self, seen: Mapping[str, Sequence[Asked]]) -> bool:
        times = sorted(one.at_ns for history in seen.values() for one in history)[-LIMIT:]
        last_s = times[-1] / 1e9 if times else None
        found = rules.halt(last_s, usual_gap(times), self._since_s, self._wall(), self._section.halt_gaps)
        self._alarms.hold("halt", found)
        return bool(found)

    # the epochs

    def _note_epoch(self, snapshot: Snapshot, found: Sequence[Scorer]) -> None:
        self._note_stakes(snapshot, found)
        paid = payout(snapshot, self._hotkey)
        if paid is None:
            self._diary.write(f"epoch {snapshot.last_epoch}: not registered")
            return
        neuron = snapshot.by_hotkey[self._hotkey]
        more = {
            "alpha_per_day": alpha_per_day(snapshot, neuron),
            "tao_per_day": tao_per_day(snapshot, neuron),
            "miners": sum(n.incentive > 0 for n in snapshot.neurons),
            "immune_blocks": max(0, neuron.block_at_registration + snapshot.immunity_period - snapshot.block),
            "stake": neuron.stake,
            "burned": burned_share(snapshot),
            "validators": self.rows,
        }
        self._ledger.payout({**asdict(paid), **more})
        self._diary.write(epoch_line(paid, more))

    def _earlier_stakes(self) -> dict[str, float]:
        """As of the newest epoch that an earlier run noted."""
        rows = payouts(self._ledger.path, EARLIER, self._hotkey)
        noted = next((row for row in reversed(rows) if "validators" in row), None)
        if noted is None:
            return {}
        others = {row["hotkey"]: row["stake"] for row in noted["validators"] if row["permit"]}
        return {**others, self._hotkey: noted["stake"]}

    def _note_stakes(self, snapshot: Snapshot, found: Sequence[Scorer]) -> None:
        """Ours grows with every epoch, which is no news: only its fall is told."""
        now = {scorer.hotkey: scorer.stake for scorer in found}
        ours = snapshot.by_hotkey.get(self._hotkey)
        if ours is not None:
            now[ours.hotkey] = ours.stake
        for hotkey, before, after in rules.stake_changes(self._stakes or {}, list(now.items())):
            mine = hotkey == self._hotkey
            if mine and after > before:
                continue
            self._ledger.event("stake", {"hotkey": hotkey, "before": before, "after": after}, self._hotkey)
            whose = "our" if mine else f"validator {short(hotkey)}'s"
            self._diary.write(f"{whose} stake was {before:,.1f} alpha and is {after:,.1f}")
        self._stakes = now


def epoch_line(paid: Payout, more: Mapping[str, Any]) -> str:
    """An epoch in a line of rewards.log."""
    immune = f"immune for {more['immune_blocks']} blocks" if more["immune_blocks"] else "no longer immune"
    risk = "not at risk" if paid.position is None else f"deregistered after {paid.position} registrations"
    scores = " ".join(
        f"{short(row['hotkey'])} weight {_share(row['weight'])} twin {row['worst']:.3f}..{row['best']:.3f}"
        for row in more["validators"]
        if row["permit"]
    )
    return (
        f"epoch {paid.block}: {paid.alpha:.6f} alpha {paid.tao:.6f} TAO, "
        f"a day {more['alpha_per_day']:.4f} alpha {more['tao_per_day']:.6f} TAO, "
        f"incentive {paid.incentive:.5f} rank {paid.rank} of {more['miners']}, "
        f"burned {_share(more['burned'])}, {immune}, {risk} | {scores or 'no validators'}"
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
