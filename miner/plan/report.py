"""From flags to what is reckoned: plain data that the view and JSON show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from models.catalog import Precision, find
from models.catalog.entry import BITS
from models.residency.gpus import GPU, parse
from models.residency.inprocess import here
from models.residency.launch import Launch, launches
from models.residency.memory import Member
from models.residency.on_demand import OnDemand, on_demand
from models.residency.plan import Plan, place
from models.residency.presets import FEASIBLE, ORIGINAL, Line, Preset, judge
from models.residency.roofline import Roofline, roofline

DEFAULT_GPUS = "2xH100-80"
ORIGINAL_NAME = "original"


@dataclass(frozen=True, slots=True)
class Report:
    """`name` and `why` of what was asked; `plan`, or None when lines were judged one by one (`judged`: a
    table's name -> its lines); `rooflines` member name -> bound; `nearest` the preset that works instead."""

    name: str
    why: str
    gpus: tuple[GPU, ...]
    plan: Plan | None = None
    judged: dict[str, list[Line]] = field(default_factory=dict)
    on_demand: tuple[OnDemand, ...] = ()
    launches: tuple[Launch, ...] = ()
    rooflines: dict[str, Roofline] = field(default_factory=dict)
    nearest: str = ""

    @property
    def fits(self) -> bool:
        """Whether everything asked for has its place."""
        if self.plan is None:
            return all(line.kept for lines in self.judged.values() for line in lines)
        return self.plan.fits and not any(each.refused for each in self.on_demand)


def reckon(gpus: str | None, preset: str | None, members: Sequence[str] | None) -> Report:
    """Raises ValueError (BadGPUs, UnknownModel, NoCheckpoint) with a sentence for what cannot be read."""
    if preset == ORIGINAL_NAME:
        return _original(parse(gpus or DEFAULT_GPUS))
    chosen = _given(gpus, members) if members else _preset(preset, gpus)
    cards = parse(gpus or chosen.gpus)
    plan = place(chosen.resident, cards)
    return Report(
        name=chosen.name,
        why=chosen.why,
        gpus=cards,
        plan=plan,
        on_demand=tuple(on_demand(member, plan) for member in chosen.on_demand) if plan.fits else (),
        launches=tuple(launches(plan)),
        rooflines=_rooflines(plan),
        nearest="" if plan.fits else nearest(cards),
    )


def nearest(gpus: Sequence[GPU]) -> str:
    """The last proposed preset whose members all fit on these GPUs; "" when none does."""
    fitting = [preset.name for preset in FEASIBLE if place(preset.resident, gpus).fits]
    return fitting[-1] if fitting else ""


def _preset(name: str | None, gpus: str | None) -> Preset:
    wanted = name or nearest(parse(gpus or DEFAULT_GPUS)) or FEASIBLE[0].name
    for preset in FEASIBLE:
        if preset.name == wanted:
            return preset
    known = ", ".join([ORIGINAL_NAME, *(preset.name for preset in FEASIBLE)])
    raise ValueError(f"no preset is called {wanted!r}; there are: {known}")


def _given(gpus: str | None, members: Sequence[str]) -> Preset:
    resident = tuple(member(text) for text in members if not text.startswith("+"))
    later = tuple(member(text[1:]) for text in members if text.startswith("+"))
    return Preset("given", gpus or DEFAULT_GPUS, resident, later, "the members given by --members")


def member(text: str) -> Member:
    """A member from NAME[:PRECISION[:KV[:GPUS]]], or NAME=STEP+STEP... in process. Raises ValueError with a
    sentence."""
    if "=" in text:
        name, _, steps = text.partition("=")
        return here(find(name), [step for step in steps.split("+") if step])
    name, *rest = text.split(":")
    precision, kv, gpus = (*rest, *("bf16", "bf16", "1")[len(rest) :])[:3]
    if len(rest) > 3 or precision not in BITS or not gpus.isdigit():
        raise ValueError(
            f"{text!r} is not NAME[:PRECISION[:KV[:GPUS]]] with a precision of {', '.join(BITS)}"
        )
    widths = cast("tuple[Precision, Precision]", (precision, kv))
    return Member(find(name), precision=widths[0], kv=widths[1], tensor_parallel=int(gpus))


def _original(cards: tuple[GPU, ...]) -> Report:
    why = "the original plan's tables, a GPU each; every tier it names, resident at once"
    tables = dict(zip(ORIGINAL, cards, strict=False))
    judged = {name: judge(ORIGINAL[name], gpu) for name, gpu in tables.items()}
    return Report(ORIGINAL_NAME, why, cards, judged=judged, nearest=nearest(cards))


def _rooflines(plan: Plan) -> dict[str, Roofline]:
    bounds = {
        placed.member.model.name: roofline(placed.member, plan.gpus[placed.gpus[0]])
        for placed in plan.placements
    }
    return {name: bound for name, bound in bounds.items() if bound is not None}


def to_json(report: Report) -> dict[str, Any]:
    """Plain JSON types; bytes and milliseconds."""
    plan = report.plan
    return {
        "name": report.name,
        "fits": report.fits,
        "gpus": [gpu.name for gpu in report.gpus],
        "refused": list(plan.refused) if plan else [],
        "nearest": report.nearest,
        "members": [
            {
                "name": placed.member.model.name,
                "gpus": list(placed.gpus),
                "precision": placed.member.precision,
                "bytes": placed.bytes,
                "parts": {part.name: {"bytes": part.bytes, "why": part.why} for part in placed.parts},
                "concurrency": placed.concurrency,
                "remark": placed.remark,
            }
            for placed in (plan.placements if plan else ())
        ],
        "judged": {name: [_line(line) for line in lines] for name, lines in report.judged.items()},
        "on_demand": [
            {
                "name": each.member.model.name,
                "evicted": list(each.evicted),
                "load_s": each.load_s,
                "refused": each.refused,
            }
            for each in report.on_demand
        ],
        "rooflines": {
            name: {"alone_ms": bound.alone_ms, "busy_ms": bound.busy_ms, "limit": bound.limit}
            for name, bound in report.rooflines.items()
        },
        "launches": [
            {"name": each.name, "port": each.port, "command": each.command, "note": each.note}
            for each in report.launches
        ],
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "name": line.member.model.name,
        "needs": line.needs,
        "before": line.before,
        "kept": line.kept,
        "sentence": line.sentence,
    }
