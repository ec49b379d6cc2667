"""What a run of the rehearsal validator looks like: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from miner.rehearsal.challenges import Challenge
from miner.rehearsal.dendrite import Reply
from miner.rehearsal.scores import Standing

ROWS = 12
LINE_GAP_S = 0.2
LABEL_WORDS = ("none", "roadwork")


@dataclass(frozen=True, slots=True)
class Asked:
    """One miner's answer to one challenge and where that leaves it."""

    challenge: Challenge
    uid: int
    reply: Reply
    standing: Standing

    @property
    def right(self) -> bool | None:
        """Whether the prediction is on the label's side of 0.5; None without one."""
        if self.reply.outcome != "answered":
            return None
        return (self.reply.prediction > 0.5) == bool(self.challenge.label)


@dataclass(frozen=True, slots=True)
class MinerRow:
    """A miner on the chain: `weight` given by us, `incentive` of the last epoch, `alpha` paid so far."""

    uid: int
    hotkey: str
    address: str
    standing: Standing | None
    weight: float
    incentive: float
    alpha: float


@dataclass(slots=True)
class Board:
    """The state of the run: the chain's `block` and how many `epochs` have paid since the start."""

    block: int = 0
    epochs: int = 0
    miners: Sequence[MinerRow] = field(default_factory=tuple)


class View(Protocol):
    def asked(self, row: Asked) -> None: ...

    def board(self, board: Board) -> None: ...

    def note(self, text: str) -> None: ...

    def close(self) -> None: ...


class Lines:
    """One line per answer, at most five a second, and one per epoch."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out, self._clock = out, clock
        self._last, self._skipped, self._epochs = float("-inf"), 0, 0

    def asked(self, row: Asked) -> None:
        if self._clock() - self._last < LINE_GAP_S:
            self._skipped += 1
            return
        more = f" (and {self._skipped} not shown)" if self._skipped else ""
        self._last, self._skipped = self._clock(), 0
        self.note(" ".join(f"{name}={text}" for name, text in _cells(row).items()) + more)

    def board(self, board: Board) -> None:
        if board.epochs == self._epochs:
            return
        self._epochs = board.epochs
        for m in board.miners:
            if not m.standing and not m.alpha:
                continue
            self.note(
                f"epoch {board.epochs} at block {board.block}: uid={m.uid} weight={m.weight:.3f} "
                f"incentive={m.incentive:.3f} alpha_paid={m.alpha:.4f}"
            )

    def note(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()

    def close(self) -> None:
        """Nothing is kept open."""


class Screen:
    """The live table."""

    def __init__(self, console: Console) -> None:
        self._rows: deque[Asked] = deque(maxlen=ROWS)
        self._board = Board()
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._render)
        self._live.start()

    def asked(self, row: Asked) -> None:
        self._rows.append(row)

    def board(self, board: Board) -> None:
        self._board = board

    def note(self, text: str) -> None:
        self._live.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        self._live.stop()

    def _render(self) -> RenderableType:
        title = f"block {self._board.block}, epochs paid {self._board.epochs}"
        return Group(_answers(list(self._rows)), _miners(self._board.miners, title))


def create_view(out: TextIO | None = None) -> View:
    """The live table if `out` (standard output) is a terminal, else lines."""
    out = out or sys.stdout
    return Screen(Console(file=out)) if out.isatty() else Lines(out)


def _cells(row: Asked) -> dict[str, str]:
    standing, reply = row.standing, row.reply
    why = f"{reply.outcome} {reply.status or reply.reason}"
    answer = f"{reply.prediction:.3f}" if reply.outcome == "answered" else why
    return {
        "challenge": str(row.challenge.number),
        "regime": row.challenge.regime,
        "uid": str(row.uid),
        "prediction": answer,
        "label": LABEL_WORDS[row.challenge.label],
        "right": {True: "yes", False: "no", None: "-"}[row.right],
        "ms": f"{reply.ms:.0f}",
        "mcc": f"{standing.mcc:.3f}",
        "acc": f"{standing.accuracy:.2f}",
        "reward": f"{standing.reward:.3f}",
        "average": f"{standing.score:.4f}",
    }


_STYLES = {True: "green", False: "red", None: "yellow"}


def _answers(rows: Sequence[Asked]) -> Table:
    names = ("challenge", "regime", "uid", "prediction", "label", "right", "ms", "mcc", "acc", "reward")
    table = Table(*names, "average", expand=False, min_width=80)
    for row in rows:
        table.add_row(*_cells(row).values(), style=_STYLES[row.right])
    return table


def _miners(rows: Sequence[MinerRow], title: str) -> Table:
    columns = ("uid", "hotkey", "address", "average", "weight", "incentive", "alpha paid")
    table = Table(*columns, title=title, title_justify="left")
    for m in rows:
        average = f"{m.standing.score:.4f}" if m.standing else "-"
        shares = (f"{m.weight:.3f}", f"{m.incentive:.3f}", f"{m.alpha:.4f}")
        table.add_row(str(m.uid), f"{m.hotkey[:8]}...", m.address or "not serving", average, *shares)
    return table


def summary_text(summary: dict[str, Any]) -> str:
    """The end of a run in a few lines: counts, latencies, what each miner was paid."""
    head = (
        "{challenges} challenges in {elapsed_s} s ({answered_per_s} answered/s): {answered} answered, "
        "{shed} shed, {refused} refused, {lost} lost"
    ).format(**summary)
    tail = "p50 {p50_ms} ms, p95 {p95_ms} ms, accuracy {accuracy}, statuses {statuses}".format(**summary)
    miners = [
        "uid {uid}: MCC {mcc}, accuracy of the last ten {accuracy}, reward {reward}, "
        "average {score}, alpha paid {alpha_paid}".format(**miner)
        for miner in summary["miners"]
    ]
    return "\n".join([head, tail, *miners])
