"""One HTML page that shows every verdict: no script, nothing from elsewhere, every foreign text escaped."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from html import escape

from miner.classify.artist import Drawn
from miner.classify.frames import frames
from miner.classify.output import Run, is_roadwork, summary
from miner.classify.scenes import Row, printable
from models.core import Box, Verdict
from models.reason import sentence

ORDERS = ("probability", "uncertainty", "name")

LIMITS = (
    "Heat: each part of the picture is hidden behind grey in turn, and the model is asked again. Red parts "
    "speak for roadwork (hiding them lowers the log-odds), blue parts against. The map is as coarse as its "
    "8 x 8 grid; of two cues of which either would do, both look unimportant; faint colours may be no more "
    "than the model's answer to a grey square. It shows what the answer depends on, not why."
)

STYLE = """
:root { color-scheme: light dark; --ground: #f6f7f8; --card: #fff; --line: #dfe3e6; --text: #1d2328;
  --quiet: #5c6770; --yes: #e07a00; --no: #14713f; --bad: #a51d24; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181b; --card: #1d2226; --line: #31393f;
  --text: #e6eaed; --quiet: #9aa6ae; --yes: #ff9d2e; --no: #6fd39b; --bad: #ff8f8f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 76rem; background: var(--ground); color: var(--text);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { margin: 0; font-size: 1.3rem; }
h2 { margin: 0 0 .2rem; font-size: 1rem; overflow-wrap: anywhere; }
.quiet, figcaption, th { color: var(--quiet); font-size: .85rem; }
article { display: grid; grid-template-columns: minmax(0, auto) minmax(20rem, 1fr); gap: 1rem 1.4rem;
  margin-top: 1rem; padding: 1rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .6rem; }
@media (max-width: 48rem) { article { grid-template-columns: minmax(0, 1fr); } }
.views { display: flex; flex-wrap: wrap; gap: .6rem; align-content: start; }
figure { margin: 0; max-width: 100%; }
.shot { position: relative; width: fit-content; }
.shot svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.shot rect { fill: none; stroke: #ff2fd0; stroke-width: 2; vector-effect: non-scaling-stroke; }
.shot rect.faint { stroke-dasharray: 4 3; }
.shot text { fill: #fff; stroke: #2b0023; stroke-width: .25em; paint-order: stroke; font-weight: 600; }
img { display: block; max-width: 100%; height: auto; border-radius: .3rem; }
.said { font-size: 1.3rem; font-weight: 600; }
.yes { color: var(--yes); } .no { color: var(--no); } .bad { color: var(--bad); }
meter { width: 100%; height: .9rem; margin: .2rem 0 .5rem; }
meter::-webkit-meter-optimum-value { background: var(--yes); }
meter::-moz-meter-bar { background: var(--yes); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem .2rem 0; border-bottom: 1px solid var(--line); text-align: left;
  font-weight: normal; }
td.number, th.number { text-align: right; }
p { margin: .5rem 0 0; } footer { margin-top: 1.5rem; }
"""

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="content-security-policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>What the classifier says</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<header><h1>What the classifier says</h1><p class="quiet">{about}</p></header>
<main>
"""


def ordered(rows: Sequence[Row], order: str) -> list[Row]:
    """By falling probability, by rising distance from one half, or by name; what has no verdict last."""

    def key(row: Row) -> tuple[bool, float, str]:
        log_odds = row.verdict.log_odds if row.verdict is not None else None
        if order == "name" or log_odds is None:
            return log_odds is None, 0.0, row.scene.name
        return False, abs(log_odds) if order == "uncertainty" else -log_odds, row.scene.name

    return sorted(rows, key=key)


def opening(rows: Sequence[Row], run: Run) -> str:
    """The page up to its first card; the cards follow, and `closing`."""
    about = f"{summary(rows, run)}; {time.strftime('%Y-%m-%d %H:%M')}"
    return HEAD.format(style=STYLE, about=_text(about))


def closing(*, heat: bool) -> str:
    """`heat`: whether a heat map was shown, which must be explained."""
    limits = LIMITS if heat else ""
    return f'</main>\n<footer class="quiet"><p>{escape(limits)}</p></footer>\n</body>\n</html>\n'


def card(row: Row, pictures: Sequence[Drawn]) -> str:
    """Of a row, with a picture per view."""
    verdict = row.verdict
    boxes = () if verdict is None else verdict.boxes
    views = "".join(
        _view(picture, at + 1, len(pictures), [box for box in boxes if box.view == at])
        for at, picture in enumerate(pictures)
    )
    name = f"<h2>{_text(row.scene.name)}</h2>"
    error = f'<p class="said bad">not judged: {_text(row.error)}</p>'
    facts = error if verdict is None else _facts(row, verdict, len(pictures))
    return f'<article><div class="views">{views}</div><div>{name}{facts}</div></article>\n'


def _view(drawn: Drawn, number: int, count: int, boxes: Sequence[Box]) -> str:
    view = f"view {number}" if count > 1 else "the picture"
    if not drawn.picture:
        return f'<figure><figcaption class="bad">{view} cannot be shown</figcaption></figure>'
    caption = f"{view}, {drawn.width} x {drawn.height}"
    parts = [_figure(drawn.picture, caption, frames(boxes, drawn.width, drawn.height))]
    if drawn.heat:
        parts.append(_figure(drawn.heat, f"{view}: what the answer depends on"))
    return "".join(parts)


def _figure(data: str, caption: str, over: str = "") -> str:
    label = _text(caption)
    image = f'<img alt="{label}" src="data:image/jpeg;base64,{_text(data)}">'
    return f'<figure><div class="shot">{image}{over}</div><figcaption>{label}</figcaption></figure>'


def _facts(row: Row, verdict: Verdict, views: int) -> str:
    yes = is_roadwork(verdict)
    percent = f"{100 * verdict.prediction:.1f} %"
    bar = f'<meter min="0" max="1" value="{verdict.prediction:.4f}">{percent}</meter>'
    said = f'<p class="said {"yes" if yes else "no"}">{"Roadwork" if yes else "None"}, P {percent}</p>{bar}'
    stage = f"Over time: {row.stage}." if row.stage else ""
    shown = "".join(f"<p>{_text(words)}</p>" for words in (sentence(row.layout, views), stage) if words)
    return f"{said}{shown}{_evidence(verdict)}{''.join(_lines(verdict))}"


def _evidence(verdict: Verdict) -> str:
    rows = "".join(
        f"<tr><td>{_text(tier)}</td><td>{_text(verdict.versions.get(tier, ''))}</td>"
        f'<td class="number">{_number(verdict.evidence.get(tier))}</td>'
        f'<td class="number">{_number(verdict.ms.get(tier), "{:.1f}")}</td></tr>'
        for tier in verdict.path
    )
    head = '<th>Tier</th><th>Version</th><th class="number">Log-odds</th><th class="number">ms</th>'
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _lines(verdict: Verdict) -> Iterator[str]:
    path = " > ".join(verdict.path)
    certified = "a certified exit" if verdict.certified else "not a certified exit"
    yield f'<p class="quiet">path: {_text(path)}, {certified}; fused log-odds {_number(verdict.log_odds)}</p>'
    stages = ", ".join(f"{stage} {value:.1f}" for stage, value in verdict.ms.items())
    yield f'<p class="quiet">ms: {_text(stages)}</p>'
    if verdict.notes:
        yield f'<p class="quiet">notes: {_text(", ".join(verdict.notes))}</p>'


def _number(value: float | None, form: str = "{:+.2f}") -> str:
    return "-" if value is None else form.format(value)


def _text(text: str) -> str:
    return escape(printable(text))
