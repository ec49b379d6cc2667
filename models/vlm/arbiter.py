"""The last word of a stranger's model: any OpenAI-compatible endpoint, for money, only when it is needed.

It is asked only when members disagree and their fused confidence is below 0.8, and never for more than a
day's money: a request's price is set aside, and written down, before it is sent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.calibration import sigmoid
from models.core import Evidence
from models.fusion import fuse
from models.vlm.chat import Answer, ChatLogprobs, to_evidence
from models.vlm.member import Absent

CONFIDENT = 0.8
FREE = ("refused", "unreachable", "down", "busy", "wrong_model", "views")
"""Reasons of absence that nobody bills: the request never reached a model."""

Save = Callable[[str, float], None]
"""Writes (UTC day "2026-11-23", money spent that day) where it survives a restart. May raise: nothing is
spent then."""


def wanted(evidence: Sequence[Evidence], confident: float = CONFIDENT) -> bool:
    """Whether members disagree about the side of 0.5 and together are less than `confident` of either."""
    sides = {one.log_odds > 0 for one in evidence}
    fused = fuse(evidence)
    return len(sides) == 2 and fused is not None and sigmoid(abs(fused)) < confident


@dataclass(frozen=True, slots=True)
class Price:
    """Money per million tokens of the prompt and of the answer; `view_tokens` of one picture, and
    `text_tokens` of the instruction, at most: what is set aside before the bill is known."""

    prompt: float
    answer: float
    view_tokens: int = 2000
    text_tokens: int = 300
    answer_tokens: int = 16

    def __post_init__(self) -> None:
        if not (math.isfinite(self.prompt + self.answer) and self.prompt > 0 and self.answer >= 0):
            raise ValueError("an arbiter needs its price per million tokens, or its cap means nothing")

    def of(self, prompt_tokens: int, answer_tokens: int) -> float:
        return (self.prompt * prompt_tokens + self.answer * answer_tokens) / 1e6

    def most(self, views: int) -> float:
        """What a request with this many views costs at most."""
        return self.of(self.text_tokens + views * self.view_tokens, self.answer_tokens)


class Budget:
    """Money of one UTC day. `day` and `spent` as last saved; `now` wall-clock seconds."""

    def __init__(
        self,
        cap: float,
        *,
        day: str = "",
        spent: float = 0.0,
        save: Save = lambda day, spent: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not (math.isfinite(cap) and cap >= 0):
            raise ValueError(f"a daily cap is an amount of money, not {cap}")
        self.cap = cap
        self._day, self._spent = day, spent
        self._save = save
        self._now = now

    @property
    def spent(self) -> float:
        """Today's, what is set aside included."""
        return self._spent if self._day == self._today() else 0.0

    def reserve(self, amount: float) -> str:
        """Set money aside and write it down; returns the day it belongs to. Raises Absent("budget")."""
        today, after = self._today(), self.spent + amount
        if after > self.cap:
            raise Absent("budget")
        try:
            self._save(today, after)
        except Exception as error:  # whatever the store raises: unwritten money is not spent
            raise Absent("budget:not saved") from error
        self._day, self._spent = today, after
        return today

    def settle(self, day: str, reserved: float, actual: float) -> None:
        """Replace what was set aside by the bill. A save that fails leaves the larger sum on record."""
        if day != self._day:
            return
        self._spent = max(self._spent - reserved + actual, 0.0)
        try:
            self._save(day, self._spent)
        except Exception:  # noqa: BLE001 - as above; the next reservation writes the right sum
            return

    def _today(self) -> str:
        return time.strftime("%Y-%m-%d", time.gmtime(self._now()))


class Arbiter:
    """A remote member that costs money. Its server's address has `tries=1`: every try is billed."""

    def __init__(self, chat: ChatLogprobs, budget: Budget, price: Price) -> None:
        if chat.server.address.tries != 1:
            raise ValueError("an arbiter is asked once: each try is billed")
        self.name = chat.name
        self.version = chat.version
        self.budget = budget
        self._chat = chat
        self._price = price

    async def evidence(self, views: Sequence[bytes], deadline: float, request_id: str) -> Evidence:
        """See `RemoteTier`; features: label_mass, cost (money). Absent("budget") past the day's cap."""
        most = self._price.most(len(views))
        day = self.budget.reserve(most)
        try:
            answer, seconds = await self._chat.answer(views, deadline, request_id)
        except Absent as absent:
            if absent.reason.partition(":")[0] in FREE:
                self.budget.settle(day, most, 0.0)
            raise
        cost = self._bill(answer, most)
        self.budget.settle(day, most, cost)
        said = to_evidence(self.name, self.version, self._chat.question, answer.reading, seconds)
        return Evidence(said.tier, said.version, said.log_odds, said.cost_ms, {**said.features, "cost": cost})

    def _bill(self, answer: Answer, most: float) -> float:
        """The price of the tokens that the endpoint counted; all that was set aside when it counted none."""
        if not answer.prompt_tokens:
            return most
        return self._price.of(answer.prompt_tokens, answer.answer_tokens)
