"""The status: one dict that page, CLI and metrics read. `app.py` fills it, everybody else shows it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, TypedDict

from miner.alarms import AlarmRow
from miner.exits import ExitRow, Exits
from miner.records import Exchange
from miner.rewards.rows import ValidatorRow

RECENT = 30


class ChainStatus(TypedDict):
    """`asdict` of `chain.watch.ChainStatus`: the state of the connection and of the newest snapshot."""

    state: str
    reason: str
    age_s: float | None
    block: int | None
    uid: int | None
    failures: int


class SubnetStatus(TypedDict):
    """`asdict` of `chain.subnet_health.SubnetHealth`; before the first snapshot `UNKNOWN_SUBNET`."""

    level: str
    sentence: str
    burned: float | None
    burned_next: float | None
    validators: int
    at_work: int
    at_work_stake: float
    miners_alpha_day: float
    miners_tao_day: float
    price: float


UNKNOWN_SUBNET = SubnetStatus(
    level="unknown",
    sentence="Nothing is known of the subnet yet.",
    burned=None,
    burned_next=None,
    validators=0,
    at_work=0,
    at_work_stake=0.0,
    miners_alpha_day=0.0,
    miners_tao_day=0.0,
    price=0.0,
)


class RewardStatus(TypedDict):
    """Of the last epoch. `position`: registrations until deregistration (0: next), None when not at risk."""

    incentive: float
    emission_alpha: float
    alpha_per_day: float
    tao_per_day: float
    rank: int
    position: int | None


class HotkeyRow(TypedDict):
    """One of our hotkeys. `uid` None where it is not registered; `address` the announcer's outcome and
    `sentence` what it means; `immune_blocks` left, 0 when it can be deregistered; `twin` the least and the
    largest score that its validators may keep for it, by stake, None while none of them has asked;
    `challenges` since start, of which `answered` got an answer."""

    hotkey: str
    uid: int | None
    port: int
    address: str
    sentence: str
    immune_blocks: int
    reward: RewardStatus | None
    twin: tuple[float, float] | None
    challenges: int
    answered: int


class RecentRow(TypedDict):
    """One challenge as the page and the CLI list it. `ms` is the total; `prediction` None unless answered."""

    id: str
    at_s: float
    caller: str
    outcome: str
    status: int
    prediction: float | None
    ms: float | None
    margin_s: float | None
    notes: list[str]


class PayoutRow(TypedDict):
    """One epoch's payment. `block` of the epoch."""

    at_s: float
    block: int
    alpha: float
    tao: float


class MemberRow(TypedDict):
    """One part of the miner on /health/members. `state` in the words of that part (`EngineHealth`, `SeatRow`,
    `servers.health`, `chain.watch`, `RecorderHealth`); `restarts` since start."""

    member: str
    state: str
    restarts: int


class Counts(TypedDict):
    """Since start: admitted challenges by outcome; requests refused at the door by "status reason"."""

    outcomes: dict[str, int]
    refused: dict[str, int]


class Status(TypedDict):
    """Everything an operator asks, as plain JSON; times are wall-clock seconds.

    `engine` is `asdict` of an EngineHealth, `recorder` of a RecorderHealth, `servers` of ServerHealths.
    `ready` and `reasons` are what /health/ready says. `url` is the page's address, `hotkey` ours in full: the
    first of `hotkeys`, which `uid`, `registered`, `reward`, `validators` and `payouts` are about.
    """

    version: str
    network: str
    netuid: int
    url: str
    started_at: float
    now: float
    hotkey: str
    uid: int | None
    registered: bool | None
    ready: bool
    reasons: list[str]
    alarms: list[AlarmRow]
    chain: ChainStatus
    subnet: SubnetStatus
    engine: dict[str, Any]
    reward: RewardStatus | None
    validators: list[ValidatorRow]
    hotkeys: list[HotkeyRow]
    counts: Counts
    exits: list[ExitRow]
    recent: list[RecentRow]
    payouts: list[PayoutRow]
    recorder: dict[str, Any]
    servers: list[dict[str, Any]]


class Tally:
    """A sink that keeps what the status shows: counts since start and the last challenges.

    Written by the recorder's thread, read by others: readers get copies.
    """

    def __init__(self, earlier: Sequence[Exchange] = ()) -> None:
        """`earlier`: challenges of the ledger, newest first, so that a restart does not empty the list."""
        self._outcomes: Counter[str] = Counter()
        self._asked: Counter[tuple[str, bool]] = Counter()
        self._exits = Exits()
        self._recent: deque[Exchange] = deque(reversed(earlier[:RECENT]), maxlen=RECENT)

    def write(self, batch: Sequence[Exchange]) -> None:
        self._outcomes.update(exchange.outcome for exchange in batch)
        self._asked.update((exchange.hotkey, exchange.outcome == "answered") for exchange in batch)
        self._exits.write(batch)
        self._recent.extend(batch[-RECENT:])

    def outcomes(self) -> dict[str, int]:
        return dict(self._outcomes)

    def asked(self, hotkey: str) -> tuple[int, int]:
        """Challenges of one of our hotkeys since start, and how many of them were answered."""
        answered = self._asked[hotkey, True]
        return answered + self._asked[hotkey, False], answered

    def exits(self) -> list[ExitRow]:
        """Ways out of the cascade since start, the most frequent first."""
        return self._exits.rows()

    def recent(self) -> list[RecentRow]:
        """Newest first."""
        return [recent_row(exchange) for exchange in reversed(tuple(self._recent))]


def recent_row(exchange: Exchange) -> RecentRow:
    """What a list of challenges shows of one."""
    return RecentRow(
        id=exchange.id,
        at_s=exchange.at_ns / 1e9,
        caller=exchange.caller,
        outcome=exchange.outcome,
        status=exchange.status,
        prediction=exchange.prediction,
        ms=exchange.ms.get("total"),
        margin_s=exchange.margin_s,
        notes=list(exchange.notes),
    )


def payout_row(row: dict[str, Any]) -> PayoutRow:
    """What the status shows of a payout in the ledger."""
    return PayoutRow(
        at_s=row["at_ns"] / 1e9,
        block=row["block"],
        alpha=row.get("alpha", 0.0),
        tao=row.get("tao", 0.0),
    )
