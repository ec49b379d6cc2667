"""Every bench in its short form, one after another, and a table of what was met and what was missed.

A short form takes under a minute and judges the same targets on fewer figures, so on a busy machine it
misses more than the full form does. What docs/performance.md states as missed, in the section of that bench,
is shown as known; whatever else was missed, and a bench that broke or hung, makes the exit status 1.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import shorten

BENCH = Path(__file__).resolve().parent
PAGE = BENCH.parent / "docs" / "performance.md"
STATED = re.compile(r"\*\*[^*]*\bmissed\b", re.IGNORECASE)
"""How the page says that a target was missed: in bold."""
MET, KNOWN, MISSED, BROKE = "met", "missed, known", "missed", "broke"
PATIENCE_S = 600.0
WIDTH = 200
"""Characters of the table for what was missed; --json has all."""
ENOUGH = 2000
"""Characters of a bench's end that are kept of what it printed, to show why it broke."""


@dataclass(frozen=True)
class Row:
    """What became of one bench. `said` what it missed, or how it broke."""

    name: str
    outcome: str
    said: str
    seconds: float


def names() -> list[str]:
    """All of them but this one."""
    return sorted(path.stem for path in BENCH.glob("*.py") if path.stem != Path(__file__).stem)


def stated(page: str) -> set[str]:
    """Benches in whose section the page says that a target was missed."""
    sections = re.split(r"(?m)^## ", page)
    missed = [section for section in sections if STATED.search(section)]
    return {
        name for section in missed for name in re.findall(r"\bbench/(\w+)\.py", section.partition("\n")[0])
    }


def judged(name: str, status: int, printed: str, known: set[str], seconds: float) -> Row:
    """By the exit status: 0 met, 1 with a line "MISSED: ..." for what was missed, all else broke."""
    if status == 0:
        return Row(name, MET, "", seconds)
    missed = re.findall(r"(?im)^missed: (.+)$", printed)
    if status != 1 or not missed:
        last = printed.strip().rpartition("\n")[2] or "it said nothing"
        return Row(name, BROKE, f"exit status {status}: {last}", seconds)
    return Row(name, KNOWN if name in known else MISSED, "; ".join(missed), seconds)


def run(name: str, known: set[str]) -> Row:
    began = time.monotonic()
    command = [sys.executable, str(BENCH / f"{name}.py"), "--quick", "--check"]
    try:
        done = subprocess.run(
            command, cwd=BENCH.parent, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Row(name, BROKE, f"not done after {PATIENCE_S:.0f} s", PATIENCE_S)
    printed = done.stdout + done.stderr
    row = judged(name, done.returncode, printed, known, time.monotonic() - began)
    if row.outcome == BROKE:
        print(printed[-ENOUGH:])
    return row


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these, by file name without .py")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(names()):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}")
    known, rows = stated(PAGE.read_text(encoding="utf-8")), []
    for name in options.names or names():
        rows.append(run(name, known))
        said = shorten(rows[-1].said, WIDTH, placeholder=" …")
        print(f"{name:12} {rows[-1].outcome:14} {rows[-1].seconds:5.0f} s  {said}", flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    counts = ", ".join(
        f"{sum(row.outcome == outcome for row in rows)} {outcome}" for outcome in (MET, KNOWN, MISSED, BROKE)
    )
    print(f"{counts}, in {sum(row.seconds for row in rows) / 60:.0f} min")
    return int(any(row.outcome in (MISSED, BROKE) for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
