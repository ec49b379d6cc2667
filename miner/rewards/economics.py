"""Whether the host pays for itself: cost per hour against what the chain pays a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from miner.errors import OperatorError
from miner.rewards.history import Day
from miner.rewards.twin import expected_reward

HOURS = 24.0


class EconomicsError(OperatorError):
    """There is nothing to reckon with; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Economics:
    """A day's money, in the currency of `cost_per_hour` and `tao_price`.

    `days`     full days the means are over; `alpha`, `tao` mean per day.
    `income`, `cost`, `profit`  per day; the income is TAO at spot, before slippage, fees and taxes.
    `break_even_alpha`  TAO per alpha at which income equals cost; `break_even_tao` the price of a TAO at
                        which it does. None when nothing is paid: then no price helps.
    `point`    what one more point of MCC (0.01) would add per day, where accuracy is known, else None.
    """

    days: int
    alpha: float
    tao: float
    income: float
    cost: float
    break_even_alpha: float | None
    break_even_tao: float | None
    point: float | None

    @property
    def profit(self) -> float:
        return self.income - self.cost


def economics(
    days: Sequence[Day], cost_per_hour: float, tao_price: float, rates: tuple[float, float] | None = None
) -> Economics:
    """From the ledger's days, the last one left out while it is not the only one (it is not over).

    `rates` (true positive rate, true negative rate), where they are known. Raises EconomicsError for a
    price or a cost that is not above 0, and without any day.
    """
    if cost_per_hour <= 0 or tao_price <= 0:
        flags = "--cost-per-hour and --tao-price (or rewards.cost_per_hour and rewards.tao_price)"
        raise EconomicsError(f"{flags} must both be above 0")
    if not days:
        raise EconomicsError("no epoch has paid this miner yet: there is nothing to weigh against the cost")
    full = days[:-1] or days
    alpha, tao = (sum(getattr(day, name) for day in full) / len(full) for name in ("alpha", "tao"))
    income, cost = tao * tao_price, cost_per_hour * HOURS
    return Economics(
        days=len(full),
        alpha=alpha,
        tao=tao,
        income=income,
        cost=cost,
        break_even_alpha=cost / tao_price / alpha if alpha else None,
        break_even_tao=cost / tao if tao else None,
        point=None if rates is None else income * gain_of_a_point(*rates),
    )


def gain_of_a_point(true_positive_rate: float, true_negative_rate: float) -> float:
    """By which part the income grows with one more point of MCC: of the expected reward, both rates raised
    alike (half a point each, as far as 1), the other miners' scores unchanged and our share small."""
    now = expected_reward(true_positive_rate, true_negative_rate)
    then = expected_reward(min(1.0, true_positive_rate + 0.005), min(1.0, true_negative_rate + 0.005))
    return then / now - 1 if now else 0.0
