"""A rehearsed month as a picture: MCC by day on both slices, and what happened when."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 340, 52, 16, 34, 62
DAY_COLOUR, NIGHT_COLOUR, MARK = "#2f7d4f", "#c2570c", "#6b7280"


def svg(
    title: str,
    day: Sequence[float],
    night: Sequence[float],
    marks: Sequence[tuple[int, str]],
    labels: Sequence[int],
) -> str:
    """`day`, `night` MCC at the end of days 1, 2, ...; `marks` (day, what happened); `labels` so far."""
    count = len(day)
    grid = "".join(_gridline(level / 5) for level in range(6))
    ticks = "".join(
        f'<text x="{_x(n, count):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{n}</text>'
        for n in range(1, count + 1)
        if n == 1 or n % 5 == 0
    )
    said = "".join(
        f'<text x="{_x(n, count):.1f}" y="{HEIGHT - BOTTOM + 34}" text-anchor="middle" opacity=".6">'
        f"{labels[n - 1]}</text>"
        for n in range(5, count + 1, 5)
    )
    body = grid + ticks + said + "".join(_mark(*each, count) for each in _rows(marks))
    body += _line(day, DAY_COLOUR) + _line(night, NIGHT_COLOUR)
    body += _key(LEFT, "by day", DAY_COLOUR) + _key(LEFT + 90, "at night", NIGHT_COLOUR)
    body += f'<text x="{LEFT}" y="{HEIGHT - 8}" opacity=".6">day; below: images labelled so far</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}"><rect width="100%" height="100%" fill="#ffffff"/>'
        "<style>text{font:12px system-ui,sans-serif;fill:#1c2733}</style>"
        f'<text x="{LEFT + 190}" y="20" font-weight="600">{escape(title)}</text>{body}</svg>\n'
    )


def _x(day: int, count: int) -> float:
    return LEFT + (day - 1) * (WIDTH - LEFT - RIGHT) / max(1, count - 1)


def _y(value: float) -> float:
    return TOP + (1 - min(max(value, 0.0), 1.0)) * (HEIGHT - TOP - BOTTOM)


def _gridline(value: float) -> str:
    y = _y(value)
    return (
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d4dae0"/>'
        f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.1f}</text>'
    )


def _line(values: Sequence[float], colour: str) -> str:
    points = " ".join(f"{_x(n, len(values)):.1f},{_y(value):.1f}" for n, value in enumerate(values, 1))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>'


def _rows(marks: Sequence[tuple[int, str]]) -> list[tuple[int, str, int]]:
    """With the row of each one's words, so that neighbours do not cover each other."""
    return [(day, text, number % 4) for number, (day, text) in enumerate(marks)]


def _mark(day: int, text: str, row: int, count: int) -> str:
    x, y = _x(day, count), _y(0.0) - 8 - 15 * row
    end = "end" if day > count * 0.75 else "start"
    shift = -4 if end == "end" else 4
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{_y(0):.1f}" stroke="{MARK}" '
        f'stroke-dasharray="3 4"/><text x="{x + shift:.1f}" y="{y:.1f}" text-anchor="{end}">'
        f"{escape(text)}</text>"
    )


def _key(x: float, text: str, colour: str) -> str:
    return (
        f'<line x1="{x}" x2="{x + 18}" y1="16" y2="16" stroke="{colour}" stroke-width="3"/>'
        f'<text x="{x + 24}" y="20">{text}</text>'
    )
