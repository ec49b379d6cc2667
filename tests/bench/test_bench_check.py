"""The table over all benches: what was met, missed, known to be missed, or broke."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import check  # noqa: E402

PAGE = """# Performance
## The wire: `python bench/wire.py`
It is fast. **Missed:** 0.5 ms.
## Swaps: `python bench/swap.py`
Nothing was missed.
## Two: `python bench/kv.py`, `bench/prefill.py`
It **missed** one target, and **+84 MB/h: flat was missed** too.
"""


def test_the_page_says_which_misses_are_known():
    assert check.stated(PAGE) == {"wire", "kv", "prefill"}
    assert check.stated(check.PAGE.read_text()) <= set(check.names()) | {"peers"}


@pytest.mark.parametrize(
    ("name", "status", "printed", "outcome", "said"),
    [
        ("swap", 0, "200 swaps\nall targets met\n", "met", ""),
        ("swap", 1, "...\nMISSED: p99 doubled\nMISSED: one lost\n", "missed", "p99 doubled; one lost"),
        ("wire", 1, "MISSED: 0.9 ms\n", "missed, known", "0.9 ms"),
        ("wire", 1, "Traceback\nValueError: no\n", "broke", "exit status 1: ValueError: no"),
        ("wire", 1, "", "broke", "exit status 1: it said nothing"),
        ("wire", -9, "MISSED: 0.9 ms\n", "broke", "exit status -9: MISSED: 0.9 ms"),
    ],
)
def test_what_became_of_a_bench(name, status, printed, outcome, said):
    row = check.judged(name, status, printed, check.stated(PAGE), 1.0)
    assert (row.outcome, row.said) == (outcome, said)


@pytest.mark.parametrize(("outcomes", "status"), [(("met", "missed, known"), 0), (("met", "broke"), 1)])
def test_only_what_is_not_known_fails(outcomes, status, monkeypatch, tmp_path, capsys):
    rows = iter(check.Row(name, outcome, "", 1.0) for name, outcome in zip("ab", outcomes, strict=True))
    monkeypatch.setattr(check, "names", lambda: ["a", "b"])
    monkeypatch.setattr(check, "run", lambda name, known: next(rows))
    assert check.main(["--json", str(tmp_path / "table.json")]) == status
    assert outcomes[1] in capsys.readouterr().out and (tmp_path / "table.json").is_file()


def test_every_bench_is_one_that_can_be_checked():
    for name in check.names():
        text = (ROOT / "bench" / f"{name}.py").read_text()
        assert "--quick" in text and "--check" in text, name
