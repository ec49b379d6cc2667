"""What the rehearsal validator thinks of each miner: windows, moving averages, and the weights from them."""

from __future__ import annotations

from dataclasses import dataclass

from miner.rewards.twin import Twin, weights_of


@dataclass(frozen=True, slots=True)
class Standing:
    """A miner after one more answer: MCC of the last 100, accuracy of the last 10, reward, moving average."""

    mcc: float
    accuracy: float
    reward: float
    score: float


class Scores:
    """One `Twin` per uid, which starts over when another hotkey takes the uid."""

    def __init__(self, validator: str) -> None:
        self._validator = validator
        self._twins: dict[int, Twin] = {}
        self._standings: dict[int, Standing] = {}

    def observe(self, uid: int, hotkey: str, prediction: float, label: int) -> Standing:
        twin = self._twins.setdefault(uid, Twin(self._validator, hotkey))
        if twin.hotkey != hotkey:
            twin.hotkey = hotkey
            twin.reset()
        reward = twin.observe(prediction, label)
        long, short = twin.metrics()
        self._standings[uid] = Standing(long.mcc, short.accuracy, reward, twin.score)
        return self._standings[uid]

    def standing(self, uid: int) -> Standing | None:
        """As of the uid's last answer."""
        return self._standings.get(uid)

    def weights(self) -> dict[int, float]:
        """uid -> share, of the uids that have one; sums to 1, empty before the first reward."""
        shares = weights_of({uid: twin.score for uid, twin in self._twins.items()})
        return {uid: share for uid, share in shares.items() if share > 0}
