"""The local chain's rules: registration and pruning, serving, weights, epochs and what they pay.

Amounts are integers of rao (1e-9 alpha or TAO). The order and the names of the refusals are the chain's own.
"""

from __future__ import annotations

import ipaddress
import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from miner.chain.local_rules import U16, Rules
from miner.chain.yuma import Member, Outcome, epoch, normalised

RAO = 10**9
OWNER_CUT, SERVER_CUT = 0.18, 0.41
CATCH_UP = 200
"""Most epochs run one by one after a pause; what fell due before them is paid in one, as the chain pays the
emission that piled up over skipped epochs."""


class Rejected(Exception):
    """A call that the chain's rules refuse; the text is the chain's own error name."""


class NotModelled(Exception):
    """Something that the real chain has and the local one does not; the text says what."""


class State:
    """The chain inside one transaction."""

    def __init__(self, db: sqlite3.Connection, rules: Rules, head: int) -> None:
        self.db, self.rules, self.head = db, rules, head

    def meta(self, key: str) -> Any:
        return self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0]

    def set_meta(self, key: str, value: Any) -> None:
        self.db.execute("UPDATE meta SET value = ? WHERE key = ?", (value, key))

    def rivals(self) -> dict[int, float]:
        """Prices of the chain's other subnets; none in a file that was never told of any."""
        row = self.db.execute("SELECT value FROM meta WHERE key = 'rivals'").fetchone()
        return {} if row is None else {int(netuid): price for netuid, price in json.loads(row[0]).items()}

    def set_rivals(self, prices: Mapping[int, float]) -> None:
        self.db.execute("INSERT OR REPLACE INTO meta VALUES ('rivals', ?)", (json.dumps(dict(prices)),))

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

    def total_stake(self, neuron: sqlite3.Row) -> int:
        return int(neuron["alpha"] + self.rules.tao_weight * neuron["tao"])

    def active(self, neuron: sqlite3.Row, block: int) -> bool:
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
        """Let a hotkey take a UID: who held it loses axon, weights, bonds and scores, but not its stake."""
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
        """Store a validator's row, with the chain's own checks. It counts from the next epoch on."""
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
        row = [(uid, *pair) for pair in zip(uids, values, strict=True)]
        self.db.executemany("INSERT INTO weight VALUES (?, ?, ?)", row)
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
        return {v: _upscaled(row) for v, row in rows.items() if any(row.values())}

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


def _upscaled(row: Mapping[int, float]) -> dict[int, int]:
    peak = max(row.values())
    return {m: round(w / peak * U16) for m, w in row.items()}
