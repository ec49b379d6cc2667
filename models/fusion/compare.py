"""How fusions did beside the baseline: figures with intervals by group, as lines of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from models.fusion.rows import Flags, Floats, Ints, Rows
from models.fusion.selection import log_loss
from models.learn.metrics import balanced_mcc, bootstrap, rates

LEVEL = 0.95
Interval = tuple[float, float]
NOTHING = (float("nan"), float("nan"))


@dataclass(frozen=True)
class Line:
    """How one kind, or one member alone, did out of fold, both labels weighing a half.

    `mcc` and `log_loss` with their 95 % intervals by group; `gain` in MCC over the baseline with the
    interval that has to be above 0, None for the baseline; `refused` why it could not be fitted, the figures
    being NaN.
    """

    name: str
    mcc: float
    mcc_interval: Interval
    log_loss: float
    log_loss_interval: Interval
    gain: float | None = None
    gain_interval: Interval | None = None
    refused: str = ""

    @property
    def beats(self) -> bool:
        """Whether the gain over the baseline is beyond its interval."""
        return self.gain_interval is not None and self.gain_interval[0] > 0

    def to_json(self) -> dict[str, object]:
        """JSON has no NaN: None."""
        return {key: _plain(value) for key, value in asdict(self).items()}


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return None if value != value else value


def mcc(said: Floats, roadwork: Flags) -> float:
    """At equal prevalence, the sign of the log-odds deciding."""
    return balanced_mcc(*rates(said, roadwork))


def line(name: str, own: Floats, base: Floats | None, rows: Rows, level: float, draws: int) -> Line:
    """`own` (n,) log-odds beside those of the baseline, None when it is the baseline itself."""
    truth, groups = rows.roadwork, rows.groups.tolist()

    def figure(of: Callable[[Floats, Flags], float]) -> tuple[float, Interval]:
        return of(own, truth), bootstrap(groups, lambda each: of(own[each], truth[each]), draws, LEVEL)

    found = (*figure(mcc), *figure(log_loss))
    return Line(name, *found) if base is None else Line(name, *found, *gain(own, base, rows, level, draws))


def gain(own: Floats, base: Floats, rows: Rows, level: float, draws: int) -> tuple[float, Interval]:
    """How much more MCC `own` has than `base`, and the interval of that, both on the same draws of groups."""
    truth = rows.roadwork

    def more(picked: Ints) -> float:
        return mcc(own[picked], truth[picked]) - mcc(base[picked], truth[picked])

    return more(np.arange(len(rows))), bootstrap(rows.groups.tolist(), more, draws, level)


def refusal(name: str, why: str) -> Line:
    return Line(name, float("nan"), NOTHING, float("nan"), NOTHING, refused=why)


def format_lines(lines: Sequence[Line], baseline: str, level: float) -> str:
    """Markdown."""
    head = f"| fusion | MCC [95 %] | log-loss [95 %] | MCC over {baseline} [{100 * level:.4g} %] |"
    return "\n".join([head, "|---" * 4 + "|", *map(_format, lines)])


def _format(each: Line) -> str:
    if each.refused:
        return f"| {each.name} | not fitted: {each.refused} | | |"
    cells = [_figures(each.mcc, each.mcc_interval), _figures(each.log_loss, each.log_loss_interval)]
    known = each.gain is not None and each.gain_interval is not None
    cells.append(_figures(each.gain or 0.0, each.gain_interval or NOTHING) if known else "")
    return f"| {each.name} | {' | '.join(cells)} |"


def _figures(value: float, interval: Interval) -> str:
    return f"{value:.3f} [{interval[0]:.3f} {interval[1]:.3f}]"
