"""An evaluation as one HTML page: the table, two curves, the worst cases. Nothing comes from elsewhere.

The pictures in it are the data set's: the page is for whoever evaluates, not for publishing.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

from models.learn.data import Example
from models.learn.judge import Answers, Line
from models.learn.metrics import Floats, balanced_mcc, label_weights, rates

WORST = 48
SIDE = 180
BINS = 10
WIDTH, HEIGHT, RIM = 420, 260, 36

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#1d2328}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .7rem;border-bottom:1px solid #dfe3e6;text-align:right}
td:first-child,td:nth-child(2),th:first-child,th:nth-child(2){text-align:left}
.sheet{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.8rem}
figure{margin:0}img{width:100%;border-radius:.3rem}figcaption{font-size:.85rem;color:#4d5860}
.curves{display:flex;flex-wrap:wrap;gap:2rem}text{font-size:11px;fill:#4d5860}
"""


def page(title: str, lines: Sequence[Line], answers: Answers, examples: Sequence[Example]) -> str:
    """The document. `examples` as they were asked, in order; each has equally many rows in `answers`."""
    rows = "".join(_row(line) for line in lines)
    heads = "".join(f"<th>{name}</th>" for name in HEADS)
    curves = f"<div class='curves'>{_calibration(answers)}{_thresholds(answers)}</div>"
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title>"
        f"<style>{STYLE}</style><h1>{escape(title)}</h1><table><tr>{heads}</tr>{rows}</table>{curves}"
        f"<h2>Most confidently wrong</h2><div class='sheet'>{_sheet(answers, examples)}</div></html>\n"
    )


HEADS = ("source", "regime", "images", "MCC", "95 %", "TPR", "TNR", "AUC", "ECE", "reward")


def _row(line: Line) -> str:
    low, high = line.interval
    figures = line.report
    within = "–" if low != low else f"{low:.3f} {high:.3f}"
    numbers: list[float | str] = [
        figures.mcc,
        within,
        figures.tpr,
        figures.tnr,
        figures.auc,
        figures.ece,
        figures.reward,
    ]
    cells = [line.source, line.regime, str(figures.count), *map(_cell, numbers)]
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _cell(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return "–" if value != value else f"{value:.3f}"


def reliability(answers: Answers) -> list[tuple[float, float, float]]:
    """(mean P, share of roadwork, weight) of each bin that holds anything, labels at a half each."""
    chances, weights = 1 / (1 + np.exp(-np.clip(answers.scores, -50, 50))), label_weights(answers.roadwork)
    cells = np.minimum((chances * BINS).astype(int), BINS - 1)
    found = []
    for cell in np.unique(cells):
        inside = cells == cell
        total = float(weights[inside].sum())
        mean = float((weights * chances)[inside].sum()) / total
        found.append((mean, float(weights[inside & answers.roadwork].sum()) / total, total))
    return found


def by_threshold(answers: Answers) -> list[tuple[float, float]]:
    """(threshold, balanced MCC) over thresholds of P from 0.02 to 0.98."""
    found = []
    for threshold in np.linspace(0.02, 0.98, 49):
        shifted: Floats = answers.scores - np.log(threshold / (1 - threshold))
        found.append((float(threshold), balanced_mcc(*rates(shifted, answers.roadwork))))
    return [(threshold, mcc) for threshold, mcc in found if mcc == mcc]


def _calibration(answers: Answers) -> str:
    points = reliability(answers)
    dots = "".join(
        f"<circle cx='{_x(mean):.1f}' cy='{_y(share):.1f}' r='{3 + 12 * weight:.1f}' fill='#2f7d4f'>"
        f"<title>{mean:.2f} said, {share:.2f} roadwork</title></circle>"
        for mean, share, weight in points
    )
    ideal = f"<line x1='{_x(0)}' y1='{_y(0)}' x2='{_x(1)}' y2='{_y(1)}' stroke='#b8c0c6'/>"
    return _chart("Calibration", "P(roadwork) said", "roadwork", ideal + dots)


def _thresholds(answers: Answers) -> str:
    points = by_threshold(answers)
    line = " ".join(f"{_x(threshold):.1f},{_y(max(0.0, mcc)):.1f}" for threshold, mcc in points)
    half = f"<line x1='{_x(0.5)}' y1='{_y(0)}' x2='{_x(0.5)}' y2='{_y(1)}' stroke='#b8c0c6'/>"
    drawn = f"{half}<polyline points='{line}' fill='none' stroke='#2f7d4f' stroke-width='2'/>"
    return _chart("Balanced MCC by threshold", "threshold of P", "MCC", drawn)


def _chart(title: str, across: str, up: str, drawn: str) -> str:
    frame = (
        f"<rect x='{RIM}' y='{RIM / 2}' width='{WIDTH - 1.5 * RIM}' height='{HEIGHT - 1.5 * RIM}' "
        "fill='none' stroke='#dfe3e6'/>"
    )
    marks = "".join(
        f"<text x='{_x(at)}' y='{HEIGHT - RIM + 14}' text-anchor='middle'>{at:g}</text>"
        f"<text x='{RIM - 6}' y='{_y(at) + 4}' text-anchor='end'>{at:g}</text>"
        for at in (0, 0.5, 1)
    )
    names = (
        f"<text x='{WIDTH / 2}' y='{HEIGHT - 6}' text-anchor='middle'>{across}</text>"
        f"<text x='{RIM + 4}' y='{RIM / 2 + 14}'>{up}</text>"
    )
    return (
        f"<section><h2>{title}</h2><svg width='{WIDTH}' height='{HEIGHT}' role='img' aria-label='{title}'>"
        f"{frame}{marks}{names}{drawn}</svg></section>"
    )


def _x(share: float) -> float:
    return RIM + share * (WIDTH - 1.5 * RIM)


def _y(share: float) -> float:
    return HEIGHT - RIM - share * (HEIGHT - 1.5 * RIM)


def _sheet(answers: Answers, examples: Sequence[Example]) -> str:
    return "".join(_figure(answers, row, examples[example]) for row, example in worst(answers, len(examples)))


def worst(answers: Answers, examples: int, most: int = WORST) -> list[tuple[int, int]]:
    """(row, example) of the most confident mistakes, each example at most once, worst first."""
    each = len(answers.scores) // examples
    wrong = np.where(answers.roadwork, -answers.scores, answers.scores)
    found: dict[int, int] = {}
    for row in np.argsort(-wrong, kind="stable"):
        if wrong[row] <= 0 or len(found) == most:
            break
        found.setdefault(int(row) // each, int(row))
    return [(row, example) for example, row in found.items()]


def _figure(answers: Answers, row: int, example: Example) -> str:
    chance = 1 / (1 + np.exp(-np.clip(answers.scores[row], -50, 50)))
    said = f"{example.label}, P = {chance:.2f}, {answers.regimes[row]}, {example.source}/{example.sequence}"
    return (
        f"<figure><img alt='' src='data:image/jpeg;base64,{_thumbnail(example.load())}'>"
        f"<figcaption>{escape(said)}</figcaption></figure>"
    )


def _thumbnail(image: Image.Image) -> str:
    image.thumbnail((2 * SIDE, SIDE))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=80)
    return base64.b64encode(data.getvalue()).decode()
