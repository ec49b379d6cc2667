"""What is wrong with the rewards: pure rules. Each returns what follows the alarm's kind -> (level, text)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from miner.chain.scorers import Scorer
from miner.chain.snapshot import Snapshot, pruning_position
from miner.chain.subnet_health import BURN_FAIL, BURN_WARN
from miner.rewards.standing import Seen, Standing
from miner.rewards.twin import NO_ANSWER
from miner.terminal import short

Found = dict[str, tuple[str, str]]

FIRST_GAP_S = 300.0
"""Between two challenges of a full subnet's validators together; until the ledger knows better."""
ENOUGH = 10
"""Challenges after which a validator's own gap is known."""
TOO_GOOD, TOO_POOR = 1.15, 0.1
"""A twin disagrees when the best miner's score that it implies lies outside of these."""
LEAST = 0.1
"""A score below this is too noisy to disagree about."""
NEWEST = 50
"""Challenges of all validators that count as what happens now."""
MISSED_WARN, MISSED_FAIL = 0.1, 0.5
SAME = 30
"""So many fair pictures are all of one class once in five hundred million times."""
SETTLED = 50
"""Challenges after which a twin may say that a validator pays too much."""


def burn(burned: float | None) -> Found:
    """`burned`: share of the last epoch's incentive that went to the subnet's owner."""
    if burned is None or burned < BURN_WARN:
        return {}
    level = "fail" if burned >= BURN_FAIL else "warn"
    return {"": (level, f"{burned:.0%} of the incentive goes to the subnet's owner and is burned.")}


def halt(last_s: float | None, gap_s: float | None, since_s: float, now_s: float, gaps: float) -> Found:
    """No challenge from anybody.

    `last_s` the newest one, `gap_s` the usual time between two; `since_s` since when this miner has listened.
    """
    expected, quiet_s = gap_s or FIRST_GAP_S, now_s - max(last_s or 0.0, since_s)
    if quiet_s < gaps * expected:
        return {}
    usual = f"one comes every {expected / 60:.1f} min" if gap_s else "a full subnet has one every 5 min"
    text = f"No validator has asked for {quiet_s / 60:.0f} min; {usual}."
    return {"": ("fail", text)}


def silent(
    scorers: Iterable[Scorer],
    standings: dict[str, Standing],
    since_s: float,
    now_s: float,
    gaps: float,
) -> Found:
    """Validators that used to ask and no longer do; the caller knows that others still ask."""
    found = {}
    for scorer in scorers:
        known = standings.get(scorer.hotkey)
        if known is None or known.last_ns is None or known.gap_s is None or known.challenges < ENOUGH:
            continue
        quiet_s = now_s - max(known.last_ns / 1e9, since_s)
        if quiet_s >= gaps * known.gap_s:
            text = (
                f"Validator {short(scorer.hotkey)} ({scorer.share:.0%} of the stake) has not asked for "
                f"{quiet_s / 60:.0f} min; usually it asks every {known.gap_s / 60:.1f} min."
            )
            found[scorer.hotkey] = ("warn", text)
    return found


def missed(newest: Sequence[Seen]) -> Found:
    """Challenges that nobody got an answer to in time; `newest` of all validators."""
    lost = sum(one.prediction == NO_ANSWER for one in newest)
    if len(newest) < ENOUGH or lost < MISSED_WARN * len(newest):
        return {}
    level = "fail" if lost >= MISSED_FAIL * len(newest) else "warn"
    return {"": (level, f"{lost} of the last {len(newest)} challenges got no answer from us in time.")}


def one_sided(newest: Sequence[Seen]) -> Found:
    """Answers that are all the same: half of the pictures show roadwork, so the model must be broken."""
    sides = {one.prediction > 0.5 for one in newest if one.prediction != NO_ANSWER}
    answers = sum(one.prediction != NO_ANSWER for one in newest)
    if len(sides) != 1 or answers < SAME:
        return {}
    word = "roadwork" if True in sides else "no roadwork"
    return {"": ("fail", f"All of the last {answers} answers said {word}: every validator's MCC goes to 0.")}


def disagreement(scorer: Scorer, then: Standing) -> str | None:
    """Why the twin and the chain cannot both be right, in a sentence; None when they can.

    `then`: by what the validator had asked when it set its weights. Its scores are only known up to a factor,
    the best miner's score: the twin's over the chain's ratio implies that factor.
    """
    if scorer.ceiling is None:
        return None
    names = f"Validator {short(scorer.hotkey)} gives us {scorer.ceiling:.0%} of its best miner's weight"
    twin = f"{then.worst:.2f} to {then.best:.2f}"
    if then.worst > TOO_GOOD * scorer.ceiling and then.worst > LEAST:
        return f"{names}, less than our twin of its score ({twin}) allows."
    if then.challenges >= SETTLED and then.best < TOO_POOR * scorer.ceiling:
        return f"{names}, more than our twin of its score ({twin}) explains."
    return None


def place(snapshot: Snapshot, hotkey: str, risk_position: int) -> Found:
    """Whether our UID is gone or about to go."""
    neuron = snapshot.by_hotkey.get(hotkey)
    if neuron is None:
        return {"": ("fail", f"Our hotkey is not registered on subnet {snapshot.netuid}.")}
    position = pruning_position(snapshot, hotkey)
    if position is None or position > risk_position or snapshot.immune(neuron):
        return {}
    text = f"Our UID {neuron.uid} is deregistered after {position} more registrations."
    return {"": ("fail" if position == 0 else "warn", text)}


def stake_changes(
    before: dict[str, float], after: Sequence[tuple[str, float]], least: float = 0.05
) -> list[tuple[str, float, float]]:
    """(hotkey, stake before, stake now) where it has changed by more than `least` of what it was."""
    return [
        (hotkey, before[hotkey], now)
        for hotkey, now in after
        if hotkey in before and abs(now - before[hotkey]) > least * max(before[hotkey], 1e-9)
    ]
