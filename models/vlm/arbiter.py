"""The last word of a stranger's model: any OpenAI-compatible endpoint, for money, only when it is needed.

It is asked only when members disagree and their fused confidence is below 0.8, and never for more than a
day's money: a request's price is set aside, and written down, before it is sent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from models.calibration import sigmoid
from models.core import Evidence
from models.vlm.chat import Answer, ChatLogprobs, to_evidence
from models.vlm.member import Absent
from models.vlm.purse import Purse

CONFIDENT = 0.8
FREE = ("refused", "unreachable", "down", "busy", "wrong_model", "views")
"""Reasons of absence that nobody bills: the request never reached a model."""


def wanted(evidence: Sequence[Evidence], fused: float | None, confident: float = CONFIDENT) -> bool:
    """Whether members disagree about the side of 0.5 and together, at the log-odds `fused` that the cascade
    makes of them, are less than `confident` of either."""
    sides = {one.log_odds > 0 for one in evidence}
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
    """Money of one UTC day, at most `cap`, counted in a purse; `now` wall-clock seconds."""

    def __init__(self, cap: float, purse: Purse, *, now: Callable[[], float] = time.time) -> None:
        if not (math.isfinite(cap) and cap >= 0):
            raise ValueError(f"a daily cap is an amount of money, not {cap}")
        self.cap = cap
        self._purse = purse
        self._now = now

    def reserve(self, amount: float) -> str:
        """Set money aside and write it down; returns the day it belongs to. Raises Absent("budget")."""
        today = time.strftime("%Y-%m-%d", time.gmtime(self._now()))

        def more(day: str, spent: float) -> tuple[str, float]:
            after = amount + (spent if day == today else 0.0)
            if after > self.cap:
                raise Absent("budget")
            return today, after

        try:
            self._purse.change(more)
        except (OSError, ValueError) as error:
            raise Absent("budget:not kept") from error
        return today

    def settle(self, day: str, reserved: float, actual: float) -> None:
        """Replace what was set aside by the bill. What cannot be written leaves the larger sum on record."""

        def less(held: str, spent: float) -> tuple[str, float]:
            return held, max(spent - reserved + actual, 0.0) if held == day else spent

        with suppress(OSError, ValueError):
            self._purse.change(less)


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

    def wanted(self, evidence: Sequence[Evidence], fused: float | None) -> bool:
        """Whether to ask it after what others have said: see `wanted`."""
        return wanted(evidence, fused)

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
