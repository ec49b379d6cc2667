"""One epoch of Yuma consensus over plain floats: who is paid what share.

Follows the chain's `epoch` (bonds as in Yuma 2: EMA, column-normalised, no liquid alpha, full bonds penalty).
The chain computes in fixed point; floats differ from it by less than the 16-bit rounding of what it stores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Row = dict[int, float]


@dataclass(frozen=True, slots=True)
class Member:
    """What an epoch needs to know of one UID. `stake` in any unit; `active`: it updated weights lately."""

    stake: float
    permit: bool
    active: bool
    registered: int
    last_update: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Shares per UID (each list sums to 1, or is all zero) and the new permits and bonds."""

    incentive: list[float]
    dividends: list[float]
    consensus: list[float]
    permits: list[bool]
    bonds: dict[int, Row]


def normalised(values: Sequence[float]) -> list[float]:
    """The values over their sum; all zero when the sum is."""
    total = sum(values)
    return [v / total for v in values] if total > 0 else [0.0] * len(values)


def stake_median(stakes: Sequence[float], scores: Sequence[float], kappa: float = 0.5) -> float:
    """The chain's weighted median: the least score that over `1 - kappa` of the stake does not exceed."""
    minority = sum(stakes) * (1.0 - kappa)
    below = 0.0
    for score, stake in sorted((s, w) for s, w in zip(scores, stakes, strict=True) if w > 0):
        below += stake
        if below > minority:
            return score
    return 0.0


def epoch(
    members: Sequence[Member],
    weights: Mapping[int, Mapping[int, float]],
    bonds: Mapping[int, Mapping[int, float]],
    *,
    kappa: float = 0.5,
    bonds_ema: float = 0.1,
    max_validators: int = 64,
    last_epoch: int = 0,
    owner_uid: int | None = None,
) -> Outcome:
    """Run one epoch.

    `weights` validator uid -> miner uid -> weight, in any positive scale per row; `bonds` the last epoch's.
    `kappa` is the majority of stake that consensus needs, `bonds_ema` this epoch's share in the bonds.
    """
    n = len(members)
    stake = normalised([m.stake if m.active and m.permit else 0.0 for m in members])
    rows = _valid_rows(members, weights, owner_uid)
    consensus = [stake_median(stake, [rows[v].get(j, 0.0) for v in range(n)], kappa) for j in range(n)]
    clipped = [{j: min(w, consensus[j]) for j, w in row.items()} for row in rows]
    incentive = normalised([sum(stake[v] * clipped[v].get(j, 0.0) for v in range(n)) for j in range(n)])
    shares = _bonds(members, stake, clipped, bonds, bonds_ema, last_epoch)
    dividends = normalised([sum(b * incentive[j] for j, b in shares[v].items()) for v in range(n)])
    permits = _top(members, max_validators)
    kept = [row if permitted else {} for row, permitted in zip(shares, permits, strict=True)]
    return Outcome(incentive, dividends, normalised(consensus), permits, _upscaled(kept))


def _valid_rows(
    members: Sequence[Member], weights: Mapping[int, Mapping[int, float]], owner_uid: int | None
) -> list[Row]:
    """Row-normalised weights of permitted validators, without self-weights (the owner's excepted) and without
    targets that registered after the row was set."""
    rows = []
    for uid, member in enumerate(members):
        row = {}
        for j, weight in weights.get(uid, {}).items():
            own = j == uid and uid != owner_uid
            if member.permit and not own and j < len(members) and members[j].registered < member.last_update:
                row[j] = weight
        total = sum(row.values())
        rows.append({j: w / total for j, w in row.items()} if total > 0 else {})
    return rows


def _bonds(
    members: Sequence[Member],
    stake: Sequence[float],
    clipped: Sequence[Row],
    bonds: Mapping[int, Mapping[int, float]],
    ema: float,
    last_epoch: int,
) -> list[Row]:
    """New column-normalised bonds; a target that registered since the last epoch starts without any."""
    delta = _columns_normalised([{j: stake[v] * w for j, w in row.items()} for v, row in enumerate(clipped)])
    kept = [
        {j: b for j, b in bonds.get(v, {}).items() if j < len(members) and members[j].registered < last_epoch}
        for v in range(len(members))
    ]
    old = _columns_normalised(kept)
    mixed = [
        {j: ema * d.get(j, 0.0) + (1 - ema) * o.get(j, 0.0) for j in sorted(d.keys() | o.keys())}
        for d, o in zip(delta, old, strict=True)
    ]
    return _columns_normalised(mixed)


def _columns_normalised(rows: Sequence[Row]) -> list[Row]:
    totals: Row = {}
    for row in rows:
        for j, value in row.items():
            totals[j] = totals.get(j, 0.0) + value
    return [{j: v / totals[j] for j, v in row.items() if totals[j] > 0 and v > 0} for row in rows]


def _upscaled(rows: Sequence[Row]) -> dict[int, Row]:
    """Each column scaled so that its largest bond is 1, as the chain stores them."""
    peak: Row = {}
    for row in rows:
        for j, value in row.items():
            peak[j] = max(peak.get(j, 0.0), value)
    return {v: {j: b / peak[j] for j, b in row.items()} for v, row in enumerate(rows) if row}


def _top(members: Sequence[Member], count: int) -> list[bool]:
    """The `count` largest non-zero stakes; among equals the higher UID, as the chain's sort leaves them."""
    ranked = sorted((m.stake, uid) for uid, m in enumerate(members) if m.stake > 0)[-count:]
    chosen = {uid for _, uid in ranked} if count else set()
    return [uid in chosen for uid in range(len(members))]
