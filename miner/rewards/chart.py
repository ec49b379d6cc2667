"""The days as a picture: one SVG, alone or in a page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from miner.rewards.history import Day

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 860.0, 300.0, 64.0, 34.0, 18.0
LABELS = 8
"""Most dates under the bars."""

STYLE = (
    "text{font:12px system-ui,sans-serif;fill:currentColor}"
    ".bar{fill:#2f7d4f}.grid{stroke:currentColor;opacity:.18}.sum{fill:none;stroke:#c2570c;stroke-width:2}"
)


def svg(days: Sequence[Day]) -> str:
    """Bars: alpha a day. Line: alpha so far, on a scale of its own, its end labelled."""
    top = _nice(max((day.alpha for day in days), default=0.0))
    step = (WIDTH - LEFT - 70) / max(1, len(days))
    parts = [_grid(top), *(_bar(day, n, step, top) for n, day in enumerate(days)), _sum(days, step)]
    parts += [_date(day, n, step) for n, day in enumerate(days) if n % -(-len(days) // LABELS) == 0]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" '
        f'aria-label="Alpha paid per day"><style>{STYLE}</style>{"".join(parts)}</svg>'
    )


def page(days: Sequence[Day], title: str) -> str:
    """The same in an HTML page, above the days as a table."""
    rows = "".join(
        f"<tr><td>{day.date}</td><td>{day.alpha:.6f}</td><td>{day.tao:.6f}</td><td>{day.incentive:.4f}</td>"
        f"<td>{'-' if day.rank is None else day.rank}</td><td>{day.epochs}</td></tr>"
        for day in reversed(days)
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width"><meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>body{{font:15px system-ui,sans-serif;margin:2rem auto;"
        "max-width:60rem;padding:0 1rem}table{border-collapse:collapse}td,th{padding:.2rem .8rem;"
        "text-align:right;border-bottom:1px solid #8884}</style>"
        f"<h1>{escape(title)}</h1><p>Bars: alpha paid per UTC day. Line: the sum.</p>{svg(days)}"
        "<table><tr><th>Day</th><th>alpha</th><th>TAO at spot</th><th>incentive</th><th>best rank</th>"
        f"<th>epochs</th></tr>{rows}</table></html>"
    )


def _nice(value: float) -> float:
    """The next number of the form 1, 2 or 5 times a power of ten; 1 for nothing."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** int(f"{value:e}".partition("e")[2])
    return next(n * power for n in (1, 2, 5, 10) if n * power >= value)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)


def _grid(top: float) -> str:
    lines = []
    for share in (0.0, 0.5, 1.0):
        y = _y(share)
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - 70}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{share * top:g}</text>')
    return "".join(lines)


def _bar(day: Day, number: int, step: float, top: float) -> str:
    y = _y(day.alpha / top)
    return (
        f'<rect class="bar" x="{LEFT + number * step + step * 0.1:.1f}" y="{y:.1f}" width="{step * 0.8:.1f}" '
        f'height="{_y(0) - y:.1f}"><title>{day.date}: {day.alpha:.6f} alpha</title></rect>'
    )


def _date(day: Day, number: int, step: float) -> str:
    x = LEFT + (number + 0.5) * step
    return f'<text x="{x:.1f}" y="{HEIGHT - 12}" text-anchor="middle">{day.date:%d %b}</text>'


def _sum(days: Sequence[Day], step: float) -> str:
    total = sum(day.alpha for day in days)
    if total <= 0:
        return ""
    so_far, points = 0.0, []
    for number, day in enumerate(days):
        so_far += day.alpha
        points.append(f"{LEFT + (number + 0.5) * step:.1f},{_y(so_far / total):.1f}")
    label = f'<text x="{LEFT + len(days) * step + 4:.1f}" y="{_y(1) + 4:.1f}">{total:.4g}</text>'
    return f'<polyline class="sum" points="{" ".join(points)}"/>{label}'
