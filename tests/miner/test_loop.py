"""The miner's event loop: the fast one where it is there, a working one where not."""

from __future__ import annotations

import asyncio
import sys

import pytest

from miner import loop


async def which() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_uvloop_runs_it_where_it_is_installed():
    pytest.importorskip("uvloop")
    assert loop.run(which()).startswith("uvloop")


def test_without_uvloop_it_runs_all_the_same(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop.run(which()).startswith("asyncio")


def test_what_fails_in_it_is_raised():
    async def broken() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        loop.run(broken())
