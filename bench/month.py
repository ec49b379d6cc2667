"""A rehearsal of thirty days: on day 10 half of the traffic moves to the night, under sodium lamps.

The miner's own parts run on a clock that stands still while they work (`harness.month_run` says what is real
and what is played): its jobs notice the shift (ADWIN), capture keeps more images, a scripted reviewer labels
them at the desk, processes learn from them (the last layer each night, all layers each Sunday), every
candidate is tried beside the champion, and the gate decides who serves. Challenges are drawn from training
sequences; both MCC are measured on sequences that neither the shipped model nor this month trained on. Where
../shared/data is not there, rendered scenes take its place, and the report says so. The classifier is alone
in its cascade. --check: what was lost on the shifted slice comes back by half at least, and by day the paired
loss has an interval that reaches 0, or is under a point."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from harness.month_chart import svg
from harness.month_run import SHIFT_DAY, Diary, Month
from harness.month_world import DAY, streets

from models.learn.metrics import bootstrap

DATA = Path(__file__).parents[1].parent / "shared" / "data"


@dataclass(frozen=True)
class Result:
    """MCC of the shipped model on both slices, and at the end; `recovered` the share of the drop that came
    back; `day_loss` share of images by day that turned wrong less those that turned right, with its 95 %
    interval by sequence."""

    data: str
    days: int
    labels: int
    day_before: float
    night_before: float
    day_after: float
    night_after: float
    recovered: float
    noticed: int | None
    promoted: list[int]
    refused: list[tuple[int, str]]
    day_loss: float
    interval: tuple[float, float]
    jobs: dict[str, int]
    kept: dict[str, int]
    seconds: float

    @property
    def failures(self) -> list[str]:
        found = []
        if self.noticed is None or self.noticed < SHIFT_DAY:
            found.append(f"the shift of day {SHIFT_DAY} was noticed on day {self.noticed}")
        if self.recovered < 0.5:
            found.append(f"only {self.recovered:.0%} of what was lost at night came back")
        if self.interval[0] > 0 and self.day_loss >= 0.01:
            found.append(f"{self.day_loss:.1%} of the images by day were lost")
        return found


def measure(month: Month, diary: Diary, seconds: float) -> Result:
    first = {"day": diary.day[0], "night": diary.night[0]}
    drop = first["day"] - first["night"]
    losses = diary.first[DAY].astype(float) - diary.last[DAY]

    def mean(rows: np.ndarray) -> float:
        return float(losses[rows].mean())

    return Result(
        month.world.name,
        month.days,
        diary.labels[-1],
        *(first["day"], first["night"], diary.day[-1], diary.night[-1]),
        (diary.night[-1] - first["night"]) / drop if drop > 0 else 0.0,
        next((day for day, text in diary.marks if text.startswith("drift") and day >= SHIFT_DAY), None),
        [day for day, text in diary.marks if text == "promoted"],
        diary.refused,
        float(losses.mean()),
        bootstrap(month.groups(DAY), mean),
        dict(sorted(diary.jobs.items())),
        dict(diary.kept),
        round(seconds, 1),
    )


def show(result: Result) -> None:
    print(f"{result.data}, {result.days} days, {result.labels} images labelled, {result.seconds:.0f} s")
    print(f"by day:   MCC {result.day_before:.3f} -> {result.day_after:.3f}")
    print(f"at night: MCC {result.night_before:.3f} -> {result.night_after:.3f}")
    print(f"of what the night cost, {result.recovered:.0%} came back")
    low, high = result.interval
    print(f"lost by day: {result.day_loss:+.1%} of images, 95 % by sequence [{low:+.1%}, {high:+.1%}]")
    print(f"noticed on day {result.noticed}; promoted on days {result.promoted or 'none'}")
    for day, why in result.refused:
        print(f"  day {day}: {why}")
    print("jobs run: " + ", ".join(f"{count} {name}" for name, count in result.jobs.items()))
    print("pictures offered: " + ", ".join(f"{count} {name}" for name, count in result.kept.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with a manifest.csv")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--count", type=int, default=60, help="challenges a day")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="rendered scenes, 12 days: does it run")
    parser.add_argument("--work", type=Path, help="keep embeddings here, so that another run is quick")
    parser.add_argument("--full", default="37 4 * * sun", help="when all layers are trained: cron, or never")
    parser.add_argument("--plot", type=Path, help="write the picture here (SVG)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true", help="exit status 1 when it fell short")
    options = parser.parse_args()
    days, count = (12, 24) if options.quick else (options.days, options.count)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        world = streets(options.data, Path(scratch) / "scenes", options.quick)
        full = None if options.quick or options.full == "never" else options.full
        about = {"days": days, "count": count, "seed": options.seed, "full": full}
        month = Month(world, Path(scratch), **about, work=options.work)
        diary = asyncio.run(month.run(lambda text: print(text, file=sys.stderr, flush=True)))
        result = measure(month, diary, time.monotonic() - started)
    if options.plot:
        options.plot.parent.mkdir(parents=True, exist_ok=True)
        title = f"A shift on day {SHIFT_DAY}: MCC on unseen streets ({world.name})"
        options.plot.write_text(svg(title, diary.day, diary.night, diary.marks, diary.labels))
    if options.json:
        print(json.dumps(asdict(result)))
    else:
        show(result)
    for failure in result.failures if options.check else []:
        print(f"MISSED: {failure}", file=sys.stderr)
    return 1 if options.check and result.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
