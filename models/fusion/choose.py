"""Which kind of fusion, on validation data: cross-fitted by group, and the logistic baseline stays unless
another is better beyond the interval of the difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.calibration import Calibration
from models.fusion.compare import LEVEL, Line, format_lines, gain, line, refusal
from models.fusion.registry import BASELINE, KINDS, Fitted, fit
from models.fusion.rows import Flags, Floats, Ints, Rows
from models.fusion.training import folds
from models.learn.crossfit import calibrate
from models.learn.metrics import label_weights

FOLDS = 5
DRAWS = 1000
Say = Callable[[str], None]


@dataclass(frozen=True)
class Choice:
    """`fitted` on all rows and calibrated; `lines` of the comparison; `level` of the interval of a gain;
    `said` kind -> (n,) its calibrated log-odds out of fold, at equal priors; `raw` the same uncalibrated."""

    fitted: Fitted
    lines: tuple[Line, ...]
    level: float
    said: dict[str, Floats]
    raw: dict[str, Floats]

    def table(self) -> str:
        """Markdown, and a sentence on what was chosen and why."""
        return f"{format_lines(self.lines, BASELINE, self.level)}\n\n{self.sentence()}"

    def sentence(self) -> str:
        kind = self.fitted.kind
        if any(each.name == kind and each.beats for each in self.lines):
            return f"{kind} replaces {BASELINE}: better beyond the interval of the difference"
        if kind == BASELINE:
            return f"{BASELINE} stays: no other kind is known to be better beyond the interval"
        return f"{kind} as it was asked for: not better than {BASELINE} beyond the interval"


def choose(
    rows: Rows,
    kinds: Sequence[str] = tuple(KINDS),
    *,
    insist: str | None = None,
    prior: float = 0.5,
    seed: int = 0,
    draws: int = DRAWS,
    say: Say = lambda text: None,
) -> Choice:
    """The kind whose MCC is above the baseline's beyond the interval, of several the plainest that no other
    beats likewise; else the baseline. `insist` on a kind and it is taken whatever the comparison says.

    The level of the interval grows with the number of rivals (Bonferroni). A kind that cannot be fitted to
    these rows becomes a line that says why. Raises ValueError for too few sequences, one label, an unknown
    kind, and when `insist` cannot be fitted.
    """
    wanted = dict.fromkeys((BASELINE, *kinds, *([insist] if insist else [])))
    unknown = [kind for kind in wanted if kind not in KINDS]
    if unknown:
        raise ValueError(f"there is no fusion {unknown[0]!r}; there are {', '.join(KINDS)}")
    fold = folds(rows, FOLDS, seed)
    raw: dict[str, Floats] = {}
    refused: dict[str, str] = {}
    for kind in wanted:
        say(f"{kind}: {FOLDS} folds")
        try:
            raw[kind] = out_of_fold(kind, rows, fold, seed)
        except ValueError as error:
            if kind in (BASELINE, insist):
                raise
            refused[kind] = str(error)
    said = {kind: recalibrated(each, rows.roadwork, fold) for kind, each in raw.items()}
    level = 1 - (1 - LEVEL) / max(len(said) - 1, 1)
    lines = _lines(said, refused, rows, level, draws)
    kind = insist or winner(lines, said, rows, level, draws)
    fitted = fit(kind, rows, seed).calibrated(fit_calibration(raw[kind], rows.roadwork), prior)
    comparison = {"rows": len(rows), "level": level, "lines": [each.to_json() for each in lines]}
    return Choice(replace(fitted, comparison=comparison), lines, level, said, raw)


def _lines(
    said: dict[str, Floats], refused: dict[str, str], rows: Rows, level: float, draws: int
) -> tuple[Line, ...]:
    """The kinds, those that could not be fitted, and each member alone (silent is "none")."""
    base = said[BASELINE]
    alone = {name: np.nan_to_num(rows.log_odds[:, index]) for index, name in enumerate(rows.members)}
    return (
        *(
            line(kind, each, None if kind == BASELINE else base, rows, level, draws)
            for kind, each in said.items()
        ),
        *(refusal(kind, why) for kind, why in refused.items()),
        *(line(f"{name} alone", each, base, rows, level, draws) for name, each in alone.items()),
    )


def winner(lines: Sequence[Line], said: dict[str, Floats], rows: Rows, level: float, draws: int) -> str:
    """From plain to elaborate, each must beat the baseline and whoever did so before it."""
    able = {each.name for each in lines if each.beats}
    best = BASELINE
    for kind in KINDS:
        if kind in said and kind in able and gain(said[kind], said[best], rows, level, draws)[1][0] > 0:
            best = kind
    return best


def out_of_fold(kind: str, rows: Rows, fold: Ints, seed: int = 0) -> Floats:
    """(n,) raw log-odds of each row from a fusion that saw no row of its fold."""
    said = np.zeros(len(rows))
    for part in np.unique(fold):
        held = fold == part
        said[held] = fit(kind, rows.pick(~held), seed).model.log_odds(rows.pick(held))
    return said


def recalibrated(said: Floats, roadwork: Flags, fold: Ints) -> Floats:
    """(n,) calibrated, each fold by what was said about the others."""
    found = np.zeros(len(said))
    for part in np.unique(fold):
        held = fold == part
        own = fit_calibration(said[~held], roadwork[~held])
        found[held] = [own.apply(each) for each in said[held].tolist()]
    return found


def fit_calibration(said: Floats, roadwork: Flags) -> Calibration:
    """Platt scaling at equal weight of both labels."""
    return Calibration(*calibrate(said, roadwork, label_weights(roadwork)))
