"""Keeps the rewards: a twin per validator beside what the chain shows, an entry per epoch, and the alarms."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from miner.alarms import Alarms
from miner.chain.scorers import Scorer, scorers
from miner.chain.snapshot import Snapshot
from miner.chain.subnet_health import burned_share
from miner.ledger import Ledger, payouts
from miner.ledger.asked import Asked, histories
from miner.rewards import rules
from miner.rewards.diary import Diary
from miner.rewards.onchain import Payout, alpha_per_day, payout, tao_per_day
from miner.rewards.rows import ValidatorRow, by_stake, validator_rows
from miner.rewards.standing import LIMIT, Standing, standing, usual_gap
from miner.rewards.tables import Tables
from miner.settings import Rewards
from miner.terminal import short

EARLIER = 20
"""Epochs looked back for what an earlier run noted."""
DOUBTS = 2
"""Epochs in a row for which twin and chain must disagree: a weight set just now is not on the chain yet."""


class Watched(Protocol):
    """Whoever has the newest snapshot: `ChainWatch`."""

    @property
    def snapshot(self) -> Snapshot | None: ...


@dataclass(frozen=True, slots=True)
class Look:
    """`said` what was seen, in a line; `found` kind of alarm -> its alarms, for the kinds that could be
    judged."""

    said: str
    found: dict[str, rules.Found]


class RewardKeeper:
    """`check` is a job's work. `rows` is what it last found, for whoever shows it. `hotkey`: whose rewards
    (empty: those of the ledger's own). `first` of several: it also tells of the validators' stakes."""

    def __init__(
        self,
        tables: Tables,
        watch: Watched,
        ledger: Ledger,
        alarms: Alarms,
        section: Rewards,
        diary: Diary,
        *,
        hotkey: str = "",
        first: bool = True,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._hotkey, self._first = hotkey or ledger.hotkey, first
        self.rows: list[ValidatorRow] = []
        self._tables, self._watch, self._ledger, self._alarms = tables, watch, ledger, alarms
        self._section, self._diary, self._wall = section, diary, wall
        self._since_s = wall()
        self._epoch = 0
        self._doubts: Counter[str] = Counter()
        self._stakes: dict[str, float] | None = None
        self._known: dict[str, tuple[tuple[Any, ...], Standing]] = {}

    async def check(self) -> str:
        """`look`, and ring what it found; what was seen, in a line."""
        look = await self.look()
        self.ring(look.found)
        return look.said

    async def look(self) -> Look:
        """Look at ledger and chain, and write down a new epoch."""
        snapshot = self._watch.snapshot
        seen = await asyncio.to_thread(histories, self._ledger.path, self._hotkey, LIMIT)
        standings = await asyncio.to_thread(self._standings, seen)
        if snapshot is None:
            return Look("no snapshot of the subnet yet", {"halt": self._halt(seen)})
        unread = await self._tables.read(snapshot)
        scored = scorers(snapshot, self._hotkey, self._tables.weights or {}, self._tables.bonds or {})
        self.rows = validator_rows(scored, standings)
        found = self._judge(snapshot, scored, standings, seen)
        if snapshot.last_epoch > self._epoch:
            if self._stakes is None:
                self._stakes = await asyncio.to_thread(self._earlier_stakes)
            found["twin"] = await asyncio.to_thread(self._compare, scored, seen)
            self._note_epoch(snapshot, scored)
            self._epoch = snapshot.last_epoch
        said = f"{len(scored)} validators, {self._summary()}"
        return Look(f"{said}; {unread}" if unread else said, found)

    def ring(self, found: Mapping[str, rules.Found]) -> None:
        """Exactly these alarms of each kind."""
        for kind, alarms in found.items():
            self._alarms.hold(kind, alarms)

    # the twins

    def _standings(self, seen: Mapping[str, Sequence[Asked]]) -> dict[str, Standing]:
        """Computed anew only where a challenge or a label has come since."""
        for hotkey, history in seen.items():
            sign = (len(history), history[-1].at_ns, sum(one.truth is not None for one in history))
            if self._known.get(hotkey, ((), None))[0] != sign:
                self._known[hotkey] = (sign, standing(history))
        return {hotkey: self._known[hotkey][1] for hotkey in seen}

    def _summary(self) -> str:
        score = by_stake(self.rows)
        return (
            "none of them has asked yet"
            if score is None
            else "score {:.3f} to {:.3f} by stake".format(*score)
        )

    # the chain

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

    def _judge(
        self,
        snapshot: Snapshot,
        scored: Sequence[Scorer],
        standings: dict[str, Standing],
        seen: Mapping[str, Sequence[Asked]],
    ) -> dict[str, rules.Found]:
        newest = sorted((one for history in seen.values() for one in history), key=lambda one: one.at_ns)
        newest, halt = newest[-rules.NEWEST :], self._halt(seen)
        silent = rules.silent(scored, standings, self._since_s, self._wall(), self._section.silent_gaps)
        return {
            "burn": rules.burn(burned_share(snapshot)),
            "place": rules.place(snapshot, self._hotkey, self._section.risk_position),
            "missed": rules.missed(newest),
            "one-sided": rules.one_sided(newest),
            "halt": halt,
            "silent": {} if halt else silent,
        }

    def _halt(self, seen: Mapping[str, Sequence[Asked]]) -> rules.Found:
        times = sorted(one.at_ns for history in seen.values() for one in history)[-LIMIT:]
        last_s = times[-1] / 1e9 if times else None
        return rules.halt(last_s, usual_gap(times), self._since_s, self._wall(), self._section.halt_gaps)

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
        now = {scorer.hotkey: scorer.stake for scorer in found} if self._first else {}
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
