"""The board: reads every part and puts together the one `Status` that page, CLI and metrics show."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import cast

from miner.alarms import AlarmRow
from miner.chain.snapshot import Snapshot
from miner.chain.subnet_health import SubnetHealth
from miner.chain.watch import ChainWatch
from miner.engine.interface import Engine
from miner.hotkeys import reward_of
from miner.recorder import Recorder
from miner.rewards.onchain import Payout
from miner.rewards.rows import ValidatorRow
from miner.servers.health import ServerHealth
from miner.settings import Settings, version
from miner.status import (
    UNKNOWN_SUBNET,
    ChainStatus,
    Counts,
    HotkeyRow,
    MemberRow,
    PayoutRow,
    RewardStatus,
    Status,
    SubnetStatus,
    Tally,
)
from miner.telemetry import Metrics

PAYOUTS = 100


class Board:
    """Holds references to the parts and what was last learned of the subnet; computes, never decides."""

    def __init__(
        self,
        settings: Settings,
        watch: ChainWatch,
        engine: Engine,
        recorder: Recorder,
        tally: Tally,
        metrics: Metrics,
        payouts: list[PayoutRow],
        wall: Callable[[], float] = time.time,
        servers: Callable[[], Sequence[ServerHealth]] = list,
        alarms: Callable[[], list[AlarmRow]] = list,
        validators: Callable[[], list[ValidatorRow]] = list,
        hotkeys: Callable[[], list[HotkeyRow]] = list,
        opens: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`validators` as they see the first hotkey; `hotkeys` all of ours; `opens` seconds until what is
        signed now is taken."""
        self.subnet: SubnetHealth | None = None
        self.url = ""
        self._settings, self._watch, self._engine = settings, watch, engine
        self._recorder, self._tally, self._metrics = recorder, tally, metrics
        self._payouts = payouts[-PAYOUTS:]
        self._wall, self._servers, self._alarms, self._validators = wall, servers, alarms, validators
        self._hotkeys, self._opens = hotkeys, opens
        self._started_at = wall()

    def paid(self, payout: Payout) -> None:
        """Remember an epoch's payout, once."""
        if any(row["block"] == payout.block for row in self._payouts):
            return
        row = PayoutRow(at_s=self._wall(), block=payout.block, alpha=payout.alpha, tao=payout.tao)
        self._payouts = [*self._payouts, row][-PAYOUTS:]

    def reasons(self) -> list[str]:
        """Why challenges are not answered now; empty when they are: also from the last good snapshot."""
        health, chain = self._engine.health(), self._watch.status()
        found = (
            []
            if health.ready
            else [f"engine {health.state}" + (f": {health.detail}" if health.detail else "")]
        )
        if self._watch.snapshot is None:
            found.append(f"chain {chain.state}: no snapshot of the subnet yet")
        elif self._watch.neuron is None and all(row["uid"] is None for row in self._hotkeys()):
            # also while the chain that said so is stale or down
            found.append(f"hotkey {self._watch.hotkey} is not registered on subnet {self._settings.netuid}")
        if not found and (wait := self._opens()) > 0:
            found.append(f"just started: for {wait:.1f} s more nothing is taken, so that nothing is replayed")
        return found

    def members(self) -> list[MemberRow]:
        """The state of every part that can fail by itself; nothing in it that may not be read by all."""
        engine, chain, recorder = self._engine.health(), self._watch.status(), self._recorder.health()
        rows = [_member("engine", engine.state, engine.restarts)]
        rows += [_member(f"engine {one['name']}", one["state"], one["restarts"]) for one in engine.seats]
        rows += [_member(f"server {one.name}", one.state, one.restarts) for one in self._servers()]
        return [*rows, _member("chain", chain.state), _member("recorder", recorder.state)]

    def chain(self) -> ChainStatus:
        return cast(ChainStatus, asdict(self._watch.status()))

    def subnet_status(self) -> SubnetStatus:
        return UNKNOWN_SUBNET if self.subnet is None else cast(SubnetStatus, asdict(self.subnet))

    def reward(self) -> RewardStatus | None:
        """Of the first hotkey, as the newest snapshot has it; None while not registered."""
        return reward_of(self._watch.snapshot, self._watch.hotkey)

    def status(self) -> Status:
        chain, reasons = self.chain(), self.reasons()
        return Status(
            version=version(),
            network=self._settings.subtensor.chain_endpoint or self._settings.subtensor.network,
            netuid=self._settings.netuid,
            url=self.url,
            started_at=self._started_at,
            now=self._wall(),
            hotkey=self._watch.hotkey,
            uid=chain["uid"],
            registered=_registered(self._watch.snapshot, chain["uid"]),
            ready=not reasons,
            reasons=reasons,
            alarms=self._alarms(),
            chain=chain,
            subnet=self.subnet_status(),
            engine=asdict(self._engine.health()),
            reward=self.reward(),
            validators=self._validators(),
            hotkeys=self._hotkeys(),
            counts=Counts(outcomes=self._tally.outcomes(), refused=self._refused()),
            recent=self._tally.recent(),
            payouts=self._payouts,
            recorder=asdict(self._recorder.health()),
            servers=[asdict(one) for one in self._servers()],
            exits=self._tally.exits(),
        )

    def _refused(self) -> dict[str, int]:
        return {f"{status} {reason}": count for (status, reason), count in self._metrics.refusals().items()}


def _member(member: str, state: str, restarts: int = 0) -> MemberRow:
    return MemberRow(member=member, state=state, restarts=restarts)


def _registered(snapshot: Snapshot | None, uid: int | None) -> bool | None:
    """None while no snapshot has told."""
    return None if snapshot is None else uid is not None
