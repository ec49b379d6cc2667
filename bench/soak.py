"""Months in minutes: a real miner on a local chain, a rehearsal validator that challenges it steadily,
bursts, hostile clients, and everything going wrong that can, one after the other.

Forms: `--quick` (a minute, a few faults), `--minutes 5` (every fault once), `--minutes 20` (`make soak`: all
fault, then a calm in which nothing may grow), `--hours 24` (on a real clock, the faults every two hours). The
model is a tier that costs nothing: what is proven is everything around it. --check fails when an admitted
challenge was lost or late that was not in flight at a SIGKILL or SIGSTOP of the front, when the ledger does
not say what the validators saw, when a fault had another effect than it should, or when memory or descriptors
grew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from harness.soak.run import Form, soak
from harness.soak.seen import Report
from harness.soak.table import lines, markdown

GROWTH_MB, GROWTH_FILES = 8.0, 4.0
"""What may have grown for sure, over the time watched."""
LONG_H = 0.08
"""Over less time than this nothing is said about growth: caches and allocators still fill."""
DAY_S = 86_400.0


def form_of(options: argparse.Namespace) -> Form:
    if options.quick:
        return Form(seconds=50.0, rate=5.0, day_s=60.0, gap_s=0.0, quick=True)
    if options.hours:
        return Form(seconds=options.hours * 3600, rate=options.rate, day_s=DAY_S, gap_s=60.0, round_s=7200.0)
    return Form(seconds=options.minutes * 60, rate=options.rate, day_s=120.0, gap_s=1.0)


def failures(report: Report) -> Iterator[str]:
    """Each target that was missed, in a sentence."""
    lost = report.outcomes.get("lost", 0)
    if lost:
        yield f"{lost} admitted challenges were lost, e.g. {report.lost[:3]}"
    if report.late:
        yield f"{report.late} answers were late by the miner's own record"
    yield from report.books.failures
    for fault in report.faults:
        for failure in fault.failures:
            yield f"{fault.name}: {failure}"
    for trend in report.trends:
        allowed = GROWTH_MB if trend.name.endswith("MB") else GROWTH_FILES
        if trend.hours >= LONG_H and trend.growth > allowed:
            yield f"{trend.name} grew by {trend.growth:.1f} for sure in {trend.hours:.2f} h, over {allowed}"
    for name, count in report.wrong.items():
        yield f"{name}: hostile clients got {count}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--quick", action="store_true", help="under a minute: does it run")
    form.add_argument("--minutes", type=float, default=20.0, help="compressed schedules")
    form.add_argument("--hours", type=float, help="the real clock's schedules")
    parser.add_argument("--rate", type=float, default=8.0, help="challenges a second, beside the bursts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table of faults there")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave logs and ledgers there")
    parser.add_argument("--only", metavar="WORD", help="only faults with this in their name")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        report = asyncio.run(soak(form_of(options), folder, only=options.only or ""))
    print("\n".join(lines(report)))
    if options.json:
        options.json.write_text(json.dumps(asdict(report), indent=1))
    if options.markdown:
        options.markdown.write_text(markdown(report))
    missed = list(failures(report))
    print("\n".join(f"MISSED: {line}" for line in missed) or "all targets met")
    return int(options.check and bool(missed))


if __name__ == "__main__":
    sys.exit(main())
