"""The plan for a terminal: every sum with its terms."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from miner.plan.report import Report
from models.residency.plan import ENGINE, Placement, Plan, budget
from models.residency.presets import Line

GB = 1e9


def view(report: Report) -> RenderableType:
    """Everything that was reckoned, refusals first."""
    cards = ", ".join(gpu.name for gpu in report.gpus)
    parts: list[RenderableType] = [Text(f"{report.name} on {cards}: {report.why}", style="bold")]
    parts += [_judged(name, lines, report) for name, lines in report.judged.items()]
    if report.plan is not None:
        parts += _planned(report, report.plan)
    if report.nearest:
        parts.append(
            Text(f"What fits here in the same spirit: streetvision-miner plan --preset {report.nearest}")
        )
    return Group(*parts)


def _planned(report: Report, plan: Plan) -> list[RenderableType]:
    if not plan.fits:
        return [Text(f"refused: {sentence}", style="bold red") for sentence in plan.refused]
    parts: list[RenderableType] = [_gpu(plan, index) for index in range(len(plan.gpus)) if plan.on(index)]
    idle = [str(index) for index in range(len(plan.gpus)) if not plan.on(index)]
    if idle:
        parts.append(Text(f"GPU {', '.join(idle)}: nothing; room for copies of what is busiest"))
    parts += [_bounds(report), *_later(report)]
    return parts


def _gpu(plan: Plan, index: int) -> Table:
    gpu = plan.gpus[index]
    table = Table(title=f"GPU {index}, {gpu.name}", title_justify="left")
    table.add_column("member")
    table.add_column("part")
    table.add_column("GB", justify="right")
    table.add_column("how it is reckoned")
    for placed in plan.on(index):
        _rows(table, placed)
    if plan.engine(index):
        table.add_row("", ENGINE.name, f"{ENGINE.bytes / GB:.2f}", ENGINE.why)
    kept = gpu.memory - budget(gpu)
    table.add_section()
    table.add_row("used", "", f"{plan.used(index) / GB:.2f}", "sum of the above")
    table.add_row(
        "never used", "", f"{kept / GB:.2f}", "3 % for the driver, fragmentation and errors of this sum"
    )
    table.add_row("memory", "", f"{gpu.memory / GB:.2f}", "as nvidia-smi lists it")
    return table


def _rows(table: Table, placed: Placement) -> None:
    for number, part in enumerate(placed.parts):
        name = placed.member.model.name if number == 0 else ""
        table.add_row(name, part.name, f"{part.bytes / GB:.2f}", part.why)
    if placed.remark:
        table.add_row("", "", "", placed.remark)


def _bounds(report: Report) -> RenderableType:
    if not report.rooflines or report.plan is None:
        return Text("")
    table = Table(title="Bounds per request of six 224 px views, one answer token", title_justify="left")
    table.add_column("member")
    for name in ("alone, ms", "busy, ms", "requests/s", "at once"):
        table.add_column(name, justify="right")
    table.add_column("bound by")
    at_once = {placed.member.model.name: placed.concurrency for placed in report.plan.placements}
    for name, bound in report.rooflines.items():
        figures = (
            f"{bound.alone_ms:.1f}",
            f"{bound.busy_ms:.1f}",
            f"{bound.per_second:.0f}",
            str(at_once[name]),
        )
        table.add_row(name, *figures, bound.limit)
    return table


def _later(report: Report) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for each in report.on_demand:
        name = each.member.model.name
        if each.refused:
            lines.append(Text(f"on demand, {name}: never: {each.refused}", style="red"))
        else:
            instead = f"in place of {', '.join(each.evicted)}" if each.evicted else "beside the others"
            lines.append(Text(f"on demand, {name}: {instead}; loading takes {each.load_s:.0f} s or more"))
    return lines


def _judged(name: str, lines: list[Line], report: Report) -> RenderableType:
    table = Table(title=f"{name}, line by line", title_justify="left")
    table.add_column("member")
    table.add_column("precision")
    table.add_column("GB", justify="right")
    table.add_column("verdict")
    for line in lines:
        said = f"{line.before / GB:.1f} + {line.needs / GB:.1f} GB: fits" if line.kept else line.sentence
        style = "" if line.kept else "red"
        table.add_row(
            line.member.model.name, line.member.precision, f"{line.needs / GB:.1f}", Text(said, style=style)
        )
    return table
