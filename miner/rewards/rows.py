"""What is told of a validator: the twin beside what the chain shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from miner.chain.scorers import Scorer
from miner.rewards.standing import Range, Standing


class ValidatorRow(TypedDict):
    """`Scorer` and `Standing` in one, as plain JSON.

    `permit` False for one that has asked and is no validator now: the chain's part is then 0 or None. Times
    are wall-clock seconds.
    """

    hotkey: str
    uid: int | None
    permit: bool
    stake: float
    share: float
    set_s: float | None
    weight: float | None
    ceiling: float | None
    bond: float | None
    worst: float
    best: float
    mcc: Range
    accuracy: Range
    challenges: int
    known: int
    unanswered: int
    last_s: float | None
    gap_s: float | None


def validator_rows(scorers: Sequence[Scorer], standings: Mapping[str, Standing]) -> list[ValidatorRow]:
    """The validators of the chain, the largest stake first, then others that have asked."""
    rows = [_row(scorer.hotkey, scorer, standings.get(scorer.hotkey, Standing())) for scorer in scorers]
    known = {scorer.hotkey for scorer in scorers}
    return rows + [_row(hotkey, None, found) for hotkey, found in standings.items() if hotkey not in known]


def by_stake(rows: Sequence[ValidatorRow]) -> tuple[float, float] | None:
    """The least and the largest score, in [0, 1], that those who have asked may keep for us, by their stake;
    None when none of them has any."""
    known = [row for row in rows if row["challenges"]]
    stake = sum(row["share"] for row in known)
    if not stake:
        return None
    worst, best = (sum(row[name] * row["share"] for row in known) / stake for name in ("worst", "best"))
    return worst, best


def _row(hotkey: str, scorer: Scorer | None, twin: Standing) -> ValidatorRow:
    return ValidatorRow(
        hotkey=hotkey,
        uid=scorer.uid if scorer else None,
        permit=scorer is not None,
        stake=scorer.stake if scorer else 0.0,
        share=scorer.share if scorer else 0.0,
        set_s=scorer.set_s if scorer else None,
        weight=scorer.weight if scorer else None,
        ceiling=scorer.ceiling if scorer else None,
        bond=scorer.bond if scorer else None,
        worst=twin.worst,
        best=twin.best,
        mcc=twin.mcc,
        accuracy=twin.accuracy,
        challenges=twin.challenges,
        known=twin.known,
        unanswered=twin.unanswered,
        last_s=None if twin.last_ns is None else twin.last_ns / 1e9,
        gap_s=twin.gap_s,
    )
