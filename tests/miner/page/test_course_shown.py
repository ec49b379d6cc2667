"""The status in a terminal tells the course under load, and the decisions that led to it."""

from __future__ import annotations

from rich.console import Console
from sample_status import sample_status

from miner.show import status_view


def test_the_course_is_told_with_the_decisions_before_it():
    status = sample_status() | {"servers": []}
    log = [(1e9 + n, f"first {n}", f"reason {n}") for n in range(5, 0, -1)]
    status["engine"] |= {"course": "first 1", "course_why": "reason 1", "course_log": log}
    console = Console(width=200)
    with console.capture() as shown:
        console.print(status_view(status))
    text = shown.get()
    assert "first 1 reason 1" in text
    assert all(f"first {n}: reason {n}" in text for n in (2, 3, 4)) and "reason 5" not in text
