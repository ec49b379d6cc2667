"""What a soak prints."""

from __future__ import annotations

from collections.abc import Iterator

from harness.soak.seen import Report, Seen

HEADER = (
    f"{'fault':24s} {'held s':>6s} {'well s':>6s} {'lost':>4s} {'answered':>8s} {'shed':>4s} {'refused':>7s} "
    f"{'nobody':>6s}  live; ready"
)
ORDER = ("answered", "shed", "refused", "unready", "unreached", "cut", "lost")


def line(seen: Seen) -> str:
    """One fault, with what went wrong."""
    if seen.skipped:
        return f"{seen.name:24s} NOT DONE: {seen.skipped}"
    row = (
        f"{seen.name:24s} {seen.held_s:6.1f} {seen.recovered_s:6.1f} {seen.lost:4d} {seen.answered:8d} "
        f"{seen.shed:4d} {seen.refused:7d} {seen.unreached:6d}  {_health(seen)}"
    )
    return "\n".join([row, *(f"    WRONG: {failure}" for failure in seen.failures)])


def lines(report: Report) -> Iterator[str]:
    """The report, without the faults' rows, which were printed as they came."""
    found = ", ".join(f"{name} {report.outcomes.get(name, 0)}" for name in ORDER)
    yield f"\n{report.seconds:.0f} s, {report.starts} starts; challenges: {found}"
    times = f"p50 {report.p50_ms} ms, p95 {report.p95_ms} ms, longest {report.max_ms} ms"
    yield f"{times}; late by the ledger: {report.late}"
    books = report.books
    yield (
        f"ledger: {books.answered} answers, {books.rows} rows in {books.files} files; "
        f"missing {books.missing} "
        f"({books.killed} of the last second before a SIGKILL), unreadable {books.unreadable}, extra "
        f"{books.extra} ({books.cut} in flight at a kill or stop), different {books.different}"
    )
    yield f"\n{'grows?':32s} {'hours':>6s} {'first':>8s} {'last':>8s} {'per hour':>9s}  95 %"
    for trend in report.trends:
        yield (
            f"{trend.name:32s} {trend.hours:6.2f} {trend.first:8.1f} {trend.last:8.1f} {trend.slope:+9.2f}  "
            f"[{trend.low:+.2f}, {trend.high:+.2f}]"
        )
    yield "\nhostile clients:"
    for name, endings in report.endings.items():
        yield f"  {name:20s} " + ", ".join(f"{ending} {count}" for ending, count in sorted(endings.items()))


def markdown(report: Report) -> str:
    """The faults as the table of docs/faults.md."""
    rows = [
        "| fault | injected how | behaviour | well again after | challenges lost | live, ready meanwhile |"
    ]
    rows += ["|---|---|---|---|---|---|"]
    return "\n".join([*rows, *map(_row, report.faults)]) + "\n"


def _row(seen: Seen) -> str:
    if seen.skipped:
        cells = ["not done", "-", seen.skipped]
    else:
        lost = str(seen.lost) if not seen.lost else f"{seen.lost}, in flight"
        refused = f"; {seen.refused} refused" if seen.refused else ""
        nobody = f"; {seen.unreached} found nobody" if seen.unreached else ""
        cells = [f"{seen.recovered_s:.1f} s", f"{lost}{refused}{nobody}", _health(seen)]
    return f"| {seen.name} | {seen.injected} | {seen.behaviour} | {' | '.join(cells)} |"


def _health(seen: Seen) -> str:
    return f"{'/'.join(seen.live)}; {'/'.join(seen.ready)}"
