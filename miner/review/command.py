"""`streetvision-miner review`: labels by keys, and how far labels can be trusted."""

from __future__ import annotations

import getpass
import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from miner.control import SOCKET_NAME, ControlError, NotRunning, call
from miner.ledger import LEDGER_NAME
from miner.ledger.labels import labels
from miner.offline import written
from miner.passing import SettingsGroup, settings_of
from miner.review.agreement import Agreement, agreement
from miner.review.desk import MOST, Desk
from miner.review.issues import Issue, issues
from miner.review.line import as_json as listed
from miner.review.line import line
from miner.review.terminal import Answers, review
from miner.review.validator_log import WINDOW_S, LogUnreadable, import_log
from miner.settings import Settings
from miner.terminal import echo

T = TypeVar("T")
ANSWER_S = 10.0
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Reviewer = Annotated[str, typer.Option(help="Who labels (default: the user's name).")]
Limit = Annotated[int, typer.Option(min=1, max=MOST, help="At most so many pictures in the list.")]
app = typer.Typer(cls=SettingsGroup, help="Label what was kept: one key a picture.")


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="review")


@app.callback(invoke_without_command=True)
def look(context: typer.Context, reviewer: Reviewer = "", limit: Limit = 20, as_json: AsJson = False) -> None:
    """Label what was kept, hardest first: r roadwork, n none, u unsure, z undo, q quit. With --json only the
    list of what waits. Needs no running miner."""
    if context.invoked_subcommand is not None:
        return
    settings, name = settings_of(context), reviewer or getpass.getuser()
    if as_json:
        found = line(settings.data.path / LEDGER_NAME, limit, name, settings.review.reviewers)
        echo(json.dumps(listed(found), indent=2))
        return
    with _answers(settings) as answers:
        given = review(answers, settings.data.path, name, say=echo)
    echo(f"{given} labelled")


@app.command(name="agreement")
def agree(context: typer.Context, as_json: AsJson = False) -> None:
    """How far reviewers agree beyond chance: Cohen's kappa, two by two."""
    found = agreement(labels(settings_of(context).data.path / LEDGER_NAME))
    echo(json.dumps([asdict(one) for one in found], indent=2) if as_json else agreement_view(found))


@app.command(name="issues")
def suspicious(context: typer.Context, as_json: AsJson = False) -> None:
    """Labels that are probably wrong, worst first (cleanlab)."""
    from models.learn.label_issues import CleanlabMissing

    try:
        found = issues(settings_of(context).data.path / LEDGER_NAME)
    except CleanlabMissing as error:
        raise ControlError(str(error)) from error
    echo(json.dumps([asdict(one) for one in found], indent=2) if as_json else issues_view(found))


@app.command(name="import")
def bring(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Export of a validators' log: CSV, JSON or JSON lines.")],
    window_s: Annotated[float, typer.Option(min=0, help="Seconds its clock and ours may differ.")] = WINDOW_S,
    as_json: AsJson = False,
) -> None:
    """Take labels from validators' public experiment logs, where their terms permit it. Stop the miner
    first."""
    settings = settings_of(context)
    if not settings.review.validator_logs:
        raise ControlError(
            "this is off: see that the log's terms permit it, then give --review.validator_logs true"
        )
    try:
        with written(settings.data.path) as ledger:
            report = import_log(file, ledger, window_s=window_s)
    except LogUnreadable as error:
        raise ControlError(str(error)) from error
    text = (
        "{rows} rows: {joined} pictures labelled, {unmatched} rows not ours, {ambiguous} ambiguous, "
        "{useless} without time, prediction and label"
    )
    echo(json.dumps(asdict(report)) if as_json else text.format(**asdict(report)))


def agreement_view(found: list[Agreement]) -> str:
    rows = [
        f"{one.first} and {one.second}: {one.agreed:.1%} of {one.count:,} alike, "
        + ("kappa undefined" if one.kappa is None else f"kappa {one.kappa:.3f}")
        for one in found
    ]
    return "\n".join(rows) or "no two reviewers have labelled the same picture"


def issues_view(found: list[Issue]) -> str:
    rows = [
        f"{one.sha256}  {one.label:8}  {one.source} by {one.reviewer}, answered {one.prediction:.3f}"
        for one in found
    ]
    return "\n".join(rows) or "no label looks wrong"


@contextmanager
def _answers(settings: Settings) -> Iterator[Answers]:
    """The running miner; without one, its ledger."""
    socket = settings.data.path / SOCKET_NAME
    try:
        call(socket, "review_next", limit=0)
    except NotRunning:
        with written(settings.data.path) as ledger:
            yield _Here(Desk(ledger, reviewers=settings.review.reviewers))
    else:
        yield _There(socket)


class _There:
    """A running miner."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def next(self, limit: int, reviewer: str) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("review_next", limit=limit, reviewer=reviewer)
        return found

    def label(self, sha256: str, label: str, reviewer: str, seconds: float) -> None:
        self._ask("review_label", sha256=sha256, label=label, reviewer=reviewer, seconds=seconds)

    def undo(self, reviewer: str) -> str | None:
        back: str | None = self._ask("review_undo", reviewer=reviewer)
        return back

    def _ask(self, command: str, **about: Any) -> Any:
        return call(self._socket, command, timeout_s=ANSWER_S, **about)


class _Here:
    """The ledger of a miner that does not run."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def next(self, limit: int, reviewer: str) -> dict[str, Any]:
        return self._desk.next(limit, reviewer)

    def label(self, sha256: str, label: str, reviewer: str, seconds: float) -> None:
        _done(self._desk.label(sha256, label, reviewer, seconds))

    def undo(self, reviewer: str) -> str | None:
        return _done(self._desk.undo(reviewer))


def _done(future: Future[T]) -> T:
    try:
        return future.result(ANSWER_S)
    except (ValueError, OSError, sqlite3.Error) as error:
        raise ControlError(f"the label is not kept: {error}") from error
