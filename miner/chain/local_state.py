"""The local chain's state: one SQLite file shared by processes, and the rules that change it.

The block number is a function of the wall clock and the file's genesis and rate. Whoever opens a transaction first
runs the epochs that are due, under the same write lock (`BEGIN IMMEDIATE`), so every process sees one history; a
process killed in mid-transaction leaves none of it behind. Amounts are integers of rao (1e-9 alpha or TAO).
"""

from __future__ import annotations

import contextlib
import ipaddress
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from miner.chain.yuma import Member, Outcome, epoch, normalised

RAO = 10**9
U16 = 65_535
OWNER_CUT, SERVER_CUT = 0.18, 0.41
CATCH_UP = 200
"""Most epochs run one by one after a pause; what fell due before them is paid with the first of them, as the chain
pays accumulated emission after skipped epochs."""

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE neuron (
  uid INTEGER PRIMARY KEY, hotkey TEXT UNIQUE NOT NULL, coldkey TEXT NOT NULL, registered INTEGER NOT NULL,
  last_update INTEGER NOT NULL, permit INTEGER NOT NULL DEFAULT 0, incentive INTEGER NOT NULL DEFAULT 0,
  dividends INTEGER NOT NULL DEFAULT 0, consensus INTEGER NOT NULL DEFAULT 0, emission INTEGER NOT NULL DEFAULT 0);
CREATE TABLE stake (hotkey TEXT PRIMARY KEY, alpha INTEGER NOT NULL, tao INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE axon (
  hotkey TEXT PRIMARY KEY, block INTEGER, version INTEGER, ip TEXT, port INTEGER, ip_type INTEGER, protocol INTEGER)
  WITHOUT ROWID;
CREATE TABLE weight (validator INTEGER, miner INTEGER, value INTEGER NOT NULL, PRIMARY KEY (validator, miner)) WITHOUT ROWID;
CREATE TABLE bond (validator INTEGER, miner INTEGER, value INTEGER NOT NULL, PRIMARY KEY (validator, miner)) WITHOUT ROWID;
CREATE TABLE nonce (address TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
"""


class Rejected(Exception):
    """A call that the chain's rules refuse; the text is the chain's own error name."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The subnet's hyperparameters, fixed when the file is made. Defaults are the public chain's for subnet 72.

    `block_s`           seconds per block; `genesis_block` the number of the first.
    `alpha_per_block`   alpha paid out per block: 41 % by incentive, 41 % by dividends, 18 % to the owner.
    `tao_weight`        how much of a root TAO counts as alpha in total stake.
    `stake_threshold`   alpha below which a stake counts as none for permits and weights.
    `allow_loopback`    lets 127.0.0.1 be served, which the real chain refuses: for rehearsals on one machine.
    """

    netuid: int = 72
    block_s: float = 12.0
    genesis_block: int = 8_000_000
    tempo: int = 360
    immunity_period: int = 21_600
    max_uids: int = 256
    max_validators: int = 64
    min_non_immune_uids: int = 10
    serving_rate_limit: int = 50
    weights_rate_limit: int = 100
    min_allowed_weights: int = 1
    max_weight_limit: int = U16
    activity_cutoff: int = 5_000
    stake_threshold: float = 1_000.0
    tao_weight: float = 0.18
    alpha_per_block: float = 1.0
    kappa: float = 0.5
    bonds_ema: float = 0.1
    allow_loopback: bool = False

    def __post_init__(self) -> None:
        if self.block_s <= 0 or self.tempo < 1 or self.max_uids < 1:
            raise ValueError("block_s, tempo and max_uids must be positive")


class Store:
    """Opens transactions on the file. Cheap; holds no connection between them, so it may be used from any thread."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._rules: Rules | None = None
        self._genesis = 0.0

    def create(self, rules: Rules, owner: tuple[str, str], price: float) -> None:
        """Make the file with its owner as UID 0. Raises FileExistsError rather than overwrite a chain."""
        if self.path.exists():
            raise FileExistsError(f"there is a local chain at {self.path} already")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("BEGIN IMMEDIATE")
            for statement in SCHEMA.split(";\n"):
                db.execute(statement)
            meta: dict[str, Any] = {f"rule.{k}": v for k, v in asdict(rules).items()}
            meta |= {"genesis": self._clock(), "last_epoch": rules.genesis_block, "epoch_index": 0}
            meta |= {"price": price, "burning": 0.0, "burned": 0, "down": 0}
            meta |= {"owner_hotkey": owner[0], "owner_coldkey": owner[1]}
            db.executemany("INSERT INTO meta VALUES (?, ?)", list(meta.items()))
            db.execute(
                "INSERT INTO neuron (uid, hotkey, coldkey, registered, last_update) VALUES (0, ?, ?, ?, ?)",
                (*owner, rules.genesis_block, rules.genesis_block),
            )
            db.execute("COMMIT")

    @contextlib.contextmanager
    def open(self, *, write: bool = True) -> Iterator[State]:
        """A transaction with every due epoch run. Raises ConnectionError when there is no chain or it is down."""
        if not self.path.is_file():
            raise ConnectionError(f"there is no local chain at {self.path}")
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=10.0, isolation_level=None)) as db:
                yield from self._transaction(db, write)
        except sqlite3.Error as error:
            raise ConnectionError(f"the local chain at {self.path} cannot be read: {error}") from error

    def _transaction(self, db: sqlite3.Connection, write: bool) -> Iterator[State]:
        rules = self._load(db)
        state = State(db, rules, self._head(rules))
        if not write and state.due() == 0:
            db.execute("BEGIN")
        else:
            db.execute("BEGIN IMMEDIATE")
            state.head = self._head(rules)
            state.run_due()
        try:
            yield state
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    def _load(self, db: sqlite3.Connection) -> Rules:
        if self._rules is None:
            meta = dict(db.execute("SELECT key, value FROM meta WHERE key LIKE 'rule.%' OR key = 'genesis'"))
            kinds = {f.name: type(f.default) for f in fields(Rules)}
            self._rules = Rules(**{name: kind(meta[f"rule.{name}"]) for name, kind in kinds.items()})
            self._genesis = float(meta["genesis"])
        return self._rules

    def _head(self, rules: Rules) -> int:
        return rules.genesis_block + max(0, int((self._clock() - self._genesis) / rules.block_s))


class State:
    """The chain inside one transaction."""

    def __init__(self, db: sqlite3.Connection, rules: Rules, head: int) -> None:
        self.db, self.rules, self.head = db, rules, head

    def meta(self, key: str) -> Any:
        return self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0]

    def set_meta(self, key: str, value: Any) -> None:
        self.db.execute("UPDATE meta SET value = ? WHERE key = ?", (value, key))

    def rows(self, sql: str, *args: Any) -> list[sqlite3.Row]:
        cursor = self.db.cursor()
        cursor.row_factory = sqlite3.Row
        return cursor.execute(sql, args).fetchall()

    def neurons(self) -> list[sqlite3.Row]:
        """Every neuron by uid, with its stakes (rao)."""
        return self.rows(
            "SELECT n.*, COALESCE(s.alpha, 0) AS alpha, COALESCE(s.tao, 0) AS tao FROM neuron n"
            " LEFT JOIN stake s USING (hotkey) ORDER BY uid"
        )

    def uid(self, hotkey: str) -> int | None:
        row = self.db.execute("SELECT uid FROM neuron WHERE hotkey = ?", (hotkey,)).fetchone()
        return None if row is None else int(row[0])

    def total_stake(self, neuron: Mapping[str, Any]) -> int:
        return int(neuron["alpha"] + self.rules.tao_weight * neuron["tao"])

    def active(self, neuron: Mapping[str, Any], block: int) -> bool:
        return bool(neuron["last_update"] + self.rules.activity_cutoff >= block)

    def matrix(self, table: str) -> dict[int, dict[int, int]]:
        """`weight` or `bond` as stored: validator uid -> miner uid -> u16."""
        out: dict[int, dict[int, int]] = {}
        for v, m, value in self.db.execute(f"SELECT validator, miner, value FROM {table} ORDER BY 1, 2"):
            out.setdefault(v, {})[m] = value
        return out

    # registration and stake

    def register(self, hotkey: str, coldkey: str, age: int = 0) -> int:
        """Give the hotkey a UID: a free one, else the one that the chain's pruning order yields."""
        if self.uid(hotkey) is not None:
            raise Rejected("HotKeyAlreadyRegisteredInSubNet")
        (count,) = self.db.execute("SELECT COUNT(*) FROM neuron").fetchone()
        uid = int(count) if count < self.rules.max_uids else self._victim()
        self.replace(uid, hotkey, coldkey, self.head - age)
        return uid

    def replace(self, uid: int, hotkey: str, coldkey: str, registered: int) -> None:
        """Let a hotkey take a UID: whoever held it loses axon, weights, bonds and scores, but not its stake."""
        self.db.execute("DELETE FROM axon WHERE hotkey = (SELECT hotkey FROM neuron WHERE uid = ?)", (uid,))
        self.db.execute("DELETE FROM neuron WHERE uid = ?", (uid,))
        self.db.execute("DELETE FROM weight WHERE validator = ?", (uid,))
        self.db.execute("DELETE FROM bond WHERE validator = ? OR miner = ?", (uid, uid))
        self.db.execute(
            "INSERT INTO neuron (uid, hotkey, coldkey, registered, last_update) VALUES (?, ?, ?, ?, ?)",
            (uid, hotkey, coldkey, registered, registered),
        )

    def _victim(self) -> int:
        owner, immunity = self.meta("owner_hotkey"), self.rules.immunity_period
        order = "ORDER BY emission, registered, uid LIMIT 1"
        free = "hotkey <> ? AND ? - registered >= ?"
        (count,) = self.db.execute(
            f"SELECT COUNT(*) FROM neuron WHERE {free}", (owner, self.head, immunity)
        ).fetchone()
        where = free if count > self.rules.min_non_immune_uids else "hotkey <> ? AND ? - registered < ?"
        row = self.db.execute(
            f"SELECT uid FROM neuron WHERE {where} {order}", (owner, self.head, immunity)
        ).fetchone()
        if row is None:
            raise Rejected("NoNeuronIdAvailable")
        return int(row[0])

    def add_stake(self, hotkey: str, alpha: int, tao: int = 0) -> None:
        """Add rao to a hotkey's stakes (negative amounts take away, never below zero)."""
        self.db.execute("INSERT OR IGNORE INTO stake VALUES (?, 0, 0)", (hotkey,))
        self.db.execute(
            "UPDATE stake SET alpha = MAX(0, alpha + ?), tao = MAX(0, tao + ?) WHERE hotkey = ?",
            (alpha, tao, hotkey),
        )

    # extrinsics of a hotkey

    def serve_axon(self, hotkey: str, call: Mapping[str, Any]) -> None:
        """Publish an address, with the chain's own checks in its own order."""
        if self.uid(hotkey) is None:
            raise Rejected("HotKeyNotRegisteredInNetwork")
        if call["ip_type"] not in (4, 6):
            raise Rejected("InvalidIpType")
        self._check_address(int(call["ip"]), call["ip_type"])
        last = self.db.execute("SELECT block FROM axon WHERE hotkey = ?", (hotkey,)).fetchone()
        if last and last[0] and self.head - last[0] < self.rules.serving_rate_limit:
            raise Rejected("ServingRateLimitExceeded")
        if not call["port"]:
            raise Rejected("InvalidPort")
        columns = (call["version"], str(call["ip"]), call["port"], call["ip_type"], call["protocol"])
        self.db.execute("REPLACE INTO axon VALUES (?, ?, ?, ?, ?, ?, ?)", (hotkey, self.head, *columns))

    def _check_address(self, ip: int, kind: int) -> None:
        loopback = {4: int(ipaddress.IPv4Address("127.0.0.1")), 6: 1}[kind]
        last = {4: 2**32 - 1, 6: 2**128 - 1}[kind]
        if ip >= last or (ip == loopback and not self.rules.allow_loopback):
            raise Rejected("InvalidIpAddress")

    def set_weights(self, hotkey: str, uids: Sequence[int], values: Sequence[int]) -> None:
        """Store a validator's row, with the chain's own checks (no commit-reveal: rows count from the next epoch)."""
        if len(uids) != len(values):
            raise Rejected("WeightVecNotEqualSize")
        neuron = next((n for n in self.neurons() if n["hotkey"] == hotkey), None)
        if neuron is None:
            raise Rejected("HotKeyNotRegisteredInSubNet")
        if self.total_stake(neuron) < self.rules.stake_threshold * RAO:
            raise Rejected("NotEnoughStakeToSetWeights")
        self._check_row(neuron, uids, values)
        uid = neuron["uid"]
        self.db.execute("DELETE FROM weight WHERE validator = ?", (uid,))
        self.db.executemany("INSERT INTO weight VALUES (?, ?, ?)", [(uid, *p) for p in zip(uids, values, strict=True)])
        self.db.execute("UPDATE neuron SET last_update = ? WHERE uid = ?", (self.head, uid))

    def _check_row(self, neuron: sqlite3.Row, uids: Sequence[int], values: Sequence[int]) -> None:
        own = list(uids) == [neuron["uid"]]
        (count,) = self.db.execute("SELECT COUNT(*) FROM neuron").fetchone()
        total = sum(values)
        if neuron["last_update"] and self.head - neuron["last_update"] < self.rules.weights_rate_limit:
            raise Rejected("SettingWeightsTooFast")
        if not own and not neuron["permit"] and neuron["hotkey"] != self.meta("owner_hotkey"):
            raise Rejected("NeuronNoValidatorPermit")
        if len(set(uids)) != len(uids):
            raise Rejected("DuplicateUids")
        if any(not 0 <= u < count for u in uids):
            raise Rejected("UidVecContainInvalidOne")
        if not own and len(uids) < self.rules.min_allowed_weights:
            raise Rejected("WeightVecLengthIsLow")
        if not own and max(values, default=0) * U16 > self.rules.max_weight_limit * total:
            raise Rejected("MaxWeightExceeded")

    # epochs

    def due(self) -> int:
        """How many epochs have fallen due and have not been run."""
        return int((self.head - self.meta("last_epoch")) // self.rules.tempo)

    def run_due(self) -> None:
        due = self.due()
        if due > CATCH_UP:
            self._epoch(self.meta("last_epoch") + (due - CATCH_UP) * self.rules.tempo)
        for _ in range(min(due, CATCH_UP)):
            self._epoch(self.meta("last_epoch") + self.rules.tempo)

    def _epoch(self, block: int) -> None:
        neurons, owner = self.neurons(), self.meta("owner_hotkey")
        last = self.meta("last_epoch")
        outcome = epoch(
            [self._member(n, block) for n in neurons],
            self.rows_in_force(neurons),
            self.matrix("bond"),
            kappa=self.rules.kappa,
            bonds_ema=self.rules.bonds_ema,
            max_validators=self.rules.max_validators,
            last_epoch=last,
            owner_uid=self.uid(owner),
        )
        self._pay(neurons, outcome, (block - last) * self.rules.alpha_per_block)
        self._store(outcome)
        self.set_meta("last_epoch", block)
        self.set_meta("epoch_index", self.meta("epoch_index") + 1)

    def _member(self, neuron: sqlite3.Row, block: int) -> Member:
        burning = bool(self.meta("burning") and neuron["permit"])  # who burns sets weights all the time
        stake = self.total_stake(neuron)
        counted = stake if stake >= self.rules.stake_threshold * RAO else 0
        return Member(
            float(counted),
            bool(neuron["permit"]),
            burning or self.active(neuron, block),
            neuron["registered"],
            block if burning else neuron["last_update"],
        )

    def rows_in_force(self, neurons: Sequence[sqlite3.Row]) -> dict[int, dict[int, float]]:
        """The weight rows as an epoch reads them: with `burning`, that share of each goes to the owner, as a
        subnet's validators do it when they burn its incentive."""
        burning, owner = float(self.meta("burning")), self.uid(self.meta("owner_hotkey"))
        rows = {v: {m: float(w) for m, w in row.items()} for v, row in self.matrix("weight").items()}
        if not burning or owner is None:
            return rows
        out = {}
        for uid in (n["uid"] for n in neurons if n["permit"]):
            row = rows.get(uid, {})
            kept = dict(zip(row, normalised(list(row.values())), strict=True))
            out[uid] = {m: w * (1 - burning) for m, w in kept.items()}
            out[uid][owner] = out[uid].get(owner, 0.0) + burning
        return out

    def weights(self) -> dict[int, dict[int, int]]:
        """The rows in force as the chain stores them: max-upscaled u16."""
        rows = self.rows_in_force(self.neurons())
        peaks = {v: max(row.values(), default=0.0) for v, row in rows.items()}
        return {v: {m: round(w / peaks[v] * U16) for m, w in row.items()} for v, row in rows.items() if peaks[v]}

    def _pay(self, neurons: Sequence[sqlite3.Row], outcome: Outcome, alpha: float) -> None:
        """Credit an epoch's alpha as stake: the owner's cut, incentive (burned where it goes to the owner's
        hotkeys), dividends. Without incentive the validators get the miners' part too."""
        server = SERVER_CUT * alpha if any(outcome.incentive) else 0.0
        validator = (1 - OWNER_CUT) * alpha - server
        backed = normalised([float(self.total_stake(n)) if n["permit"] else 0.0 for n in neurons])
        dividends = outcome.dividends if any(outcome.dividends) else backed
        owner, coldkey, burned = self.meta("owner_hotkey"), self.meta("owner_coldkey"), self.meta("burned")
        self.add_stake(owner, int(OWNER_CUT * alpha * RAO))
        for n, incentive, dividend in zip(neurons, outcome.incentive, dividends, strict=True):
            earned, shared = int(incentive * server * RAO), int(dividend * validator * RAO)
            if n["hotkey"] == owner or n["coldkey"] == coldkey:
                burned, paid = burned + earned, shared
            else:
                paid = earned + shared
            if paid:
                self.add_stake(n["hotkey"], paid)
            self.db.execute("UPDATE neuron SET emission = ? WHERE uid = ?", (earned + shared, n["uid"]))
        self.set_meta("burned", burned)

    def _store(self, outcome: Outcome) -> None:
        columns = zip(outcome.incentive, outcome.dividends, outcome.consensus, outcome.permits, strict=True)
        self.db.executemany(
            "UPDATE neuron SET incentive = ?, dividends = ?, consensus = ?, permit = ? WHERE uid = ?",
            [(int(i * U16), int(d * U16), int(c * U16), p, u) for u, (i, d, c, p) in enumerate(columns)],
        )
        self.db.execute("DELETE FROM bond")
        bonds = [(v, m, int(b * U16)) for v, row in outcome.bonds.items() for m, b in row.items()]
        self.db.executemany("INSERT INTO bond VALUES (?, ?, ?)", bonds)
