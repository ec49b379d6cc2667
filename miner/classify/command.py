"""The command: find, judge, write, tell."""

from __future__ import annotations

import asyncio
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence

from loguru import logger

from miner.classify.arguments import STDOUT, parse
from miner.classify.described import NoTeller, described
from miner.classify.explained import explain
from miner.classify.files import Csv, Sink, Unwritable
from miner.classify.judge import EngineDown, engine_of, judge
from miner.classify.output import Run, json_text, table
from miner.classify.page import ordered
from miner.classify.progress import progress
from miner.classify.scenes import Row, Scene, find, in_series
from miner.settings import Settings, load
from miner.terminal import echo

EXIT_SOME, EXIT_NONE, EXIT_STOPPED = 1, 2, 130
Heard = Callable[[int, Row], None]


def main(argv: Sequence[str]) -> int:
    """Run it; the exit status. Raises SettingsError. Ctrl-C still reports what was judged."""
    asked, flags = parse(argv)
    settings = load(flags)
    _quiet(settings)
    for notice in settings.notices:
        logger.warning(notice)
    try:
        return _all(asked, settings)
    except NoTeller as error:
        sys.stderr.write(f"streetvision-miner: {error}\n")
    except EngineDown as down:
        sys.stderr.write(f"streetvision-miner: no model can judge: {down}\n")
    except Unwritable as error:
        sys.stderr.write(f"streetvision-miner: {error}\n")
    return EXIT_NONE


def _all(asked: Namespace, settings: Settings) -> int:
    """Raises EngineDown and Unwritable."""
    scenes = find(asked.paths, asked.views)
    rows: dict[int, Row] = {}
    run = Run({}, settings.neuron.image_detector_device, 0.0)
    stopped, csv = False, Csv(asked.csv)

    def heard(number: int, row: Row) -> None:
        rows[number] = row
        csv.put(number, row)

    try:
        run = asyncio.run(_judged(scenes, settings, heard))
    except KeyboardInterrupt:
        stopped = True
    finally:
        csv.close()
    done = [rows[number] for number in sorted(rows)]
    if asked.describe and not stopped:
        done = asyncio.run(described(done, settings))
    if asked.series:
        done = in_series(done)
    _report(asked, settings, done, run, explained=not stopped)
    if stopped:
        return EXIT_STOPPED
    return EXIT_SOME if any(row.verdict is None for row in done) else 0


async def _judged(scenes: Sequence[Scene], settings: Settings, heard: Heard) -> Run:
    """What judged them, and in which time. `heard` gets every row once, with its scene's number."""
    first: list[float] = []
    with progress("judging", len(scenes)) as advance:

        def each(number: int, row: Row) -> None:
            heard(number, row)
            advance()

        try:
            health = await judge(
                scenes, settings, engine_of(settings), each, lambda: first.append(time.monotonic())
            )
        except ExceptionGroup as group:
            unwritable = group.subgroup(Unwritable)
            raise (unwritable or group).exceptions[0] from None
    return Run(health.versions, health.device, time.monotonic() - first[0])


def _report(asked: Namespace, settings: Settings, rows: Sequence[Row], run: Run, *, explained: bool) -> None:
    if asked.json:
        sink = Sink(asked.json)
        sink.write(json_text(rows, run))
        sink.close()
    if asked.explain and explained:
        shown = ordered(rows, asked.sort)
        asyncio.run(explain(shown, settings, run, asked.explain, asked.heat))
    if STDOUT not in (asked.csv, asked.json):
        echo(table(rows, run))


def _quiet(settings: Settings) -> None:
    """The daemon's log is no part of the results: only what went wrong is told."""
    level = "DEBUG" if settings.logging.debug or settings.logging.trace else "WARNING"
    logger.remove()
    logger.add(sys.stderr, format="{level}: {message}", level=level, backtrace=False, diagnose=False)
